"""A store as a static site: plain files for any web server, with relative links and nothing from elsewhere."""

from __future__ import annotations

from results.site.build import SiteUpdate, write_site

__all__ = ["SiteUpdate", "write_site"]
