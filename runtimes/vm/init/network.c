/* Host name, loopback, and the one interface, by the ioctls of netdevice(7). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "init.h"

#define INTERFACE "eth0"

static struct sockaddr address_of(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct sockaddr result;

    if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
        fail(0, "'%s' is no IPv4 address", text);
    memcpy(&result, &address, sizeof result);
    return result;
}

static void bring_up(int socket, const char *name)
{
    struct ifreq request = {0};

    strcpy(request.ifr_name, name);
    if (ioctl(socket, SIOCGIFFLAGS, &request) < 0)
        fail(errno, "there is no interface %s", name);
    request.ifr_flags |= IFF_UP;
    if (ioctl(socket, SIOCSIFFLAGS, &request) < 0)
        fail(errno, "could not set up the interface %s", name);
}

/* The address as A.B.C.D/N. */
static void set_address(int socket, const char *text)
{
    struct ifreq request = {.ifr_name = INTERFACE};
    char address[VALUE_SIZE], mask[INET_ADDRSTRLEN], *slash, *end = "";
    struct in_addr bits = {0};
    long length = 0;

    strcpy(address, text);
    if ((slash = strchr(address, '/')) != NULL) {
        *slash = '\0';
        length = strtol(slash + 1, &end, 10);
    }
    if (slash == NULL || *end != '\0' || length < 1 || length > 32)
        fail(0, "'%s' is no address with the length of its network", text);
    bits.s_addr = htonl(0xffffffffu << (32 - length));
    inet_ntop(AF_INET, &bits, mask, sizeof mask);
    request.ifr_addr = address_of(address);
    if (ioctl(socket, SIOCSIFADDR, &request) < 0)
        fail(errno, "could not give " INTERFACE " the address '%s'", text);
    request.ifr_netmask = address_of(mask);
    if (ioctl(socket, SIOCSIFNETMASK, &request) < 0)
        fail(errno, "could not give " INTERFACE " the network mask %s", mask);
    bring_up(socket, INTERFACE);
}

static void route_through(int socket, const char *gateway)
{
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};

    route.rt_dst.sa_family = route.rt_genmask.sa_family = AF_INET;
    route.rt_gateway = address_of(gateway);
    if (ioctl(socket, SIOCADDRT, &route) < 0)
        fail(errno, "could not route through '%s'", gateway);
}

void network_configure(const struct arguments *arguments)
{
    int inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (inet < 0)
        fail(errno, "could not open a socket");
    if (*arguments->hostname != '\0' && sethostname(arguments->hostname, strlen(arguments->hostname)) < 0)
        fail(errno, "could not set the host name '%s'", arguments->hostname);
    bring_up(inet, "lo");
    if (*arguments->address != '\0')
        set_address(inet, arguments->address);
    if (*arguments->gateway != '\0')
        route_through(inet, arguments->gateway);
    close(inet);
}
