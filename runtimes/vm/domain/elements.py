"""Making XML elements."""

from __future__ import annotations

from xml.etree import ElementTree

Element = ElementTree.Element

QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"


def element(tag: str, *children: Element, **attributes: str) -> Element:
    """An element with children and attributes."""
    made = Element(tag, attributes)
    made.extend(children)
    return made


def text(tag: str, content: object, **attributes: str) -> Element:
    """An element with text in it."""
    made = Element(tag, attributes)
    made.text = str(content)
    return made


def root_bus(slot: int) -> Element:
    """The address of a device on the root bus: with none given, libvirt puts a PCI Express port before each device."""
    return element("address", type="pci", domain="0x0000", bus="0x00", slot=f"0x{slot:02x}", function="0x0")


def on_off(switch: bool) -> str:
    """A switch as libvirt spells it."""
    return "on" if switch else "off"
