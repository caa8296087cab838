//! Which addresses a request may go to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses a request may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All: the far side is another part of this installation.
    Any,
    /// All but link-local ones, where clouds hand out credentials to whoever asks.
    Private,
    /// Only those of the public internet.
    Public,
}

/// An address that must not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// Nobody may reach it.
    #[error("{0} is a link-local or multicast address, to which no request goes")]
    Never(IpAddr),
    /// Only what is configured to may reach it.
    #[error(
        "{0} is an address of a private network or of this host, to which requests go only with `allow_private: true`"
    )]
    Private(IpAddr),
}

impl Reach {
    /// Whether a request may go to this address.
    ///
    /// # Errors
    /// Why it must not.
    pub fn check(self, address: IpAddr) -> Result<(), Unreachable> {
        match (self, zone(address)) {
            (Reach::Any, _) | (_, Zone::Public) | (Reach::Private, Zone::Private) => Ok(()),
            (Reach::Public, Zone::Private) => Err(Unreachable::Private(address)),
            (_, Zone::Never) => Err(Unreachable::Never(address)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    Public,
    Private,
    Never,
}

fn zone(address: IpAddr) -> Zone {
    match address {
        IpAddr::V4(address) => zone_4(address),
        IpAddr::V6(address) => zone_6(address),
    }
}

/// By the IANA registry of special-purpose addresses; what is not globally reachable counts as private.
fn zone_4(address: Ipv4Addr) -> Zone {
    match address.octets() {
        [169, 254, ..] | [224..=239, ..] | [255, 255, 255, 255] => Zone::Never,
        [0 | 10 | 127 | 240..=255, ..]
        | [100, 64..=127, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [192, 0, 0 | 2, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Zone::Private,
        _ => Zone::Public,
    }
}

fn zone_6(address: Ipv6Addr) -> Zone {
    // Addresses that stand for one of IPv4: mapped, translated (RFC 6052), 6to4 (RFC 3056).
    let [a, b, c, d, ..] = address.segments();
    let [.., y, z] = address.segments();
    let inner = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match (a, b, c) {
        (0, 0, 0) if address.is_loopback() || address.is_unspecified() => Zone::Private,
        (0, 0, 0) if d == 0 => zone_4(inner(y, z)),
        (0x64, 0xff9b, 0) => zone_4(inner(y, z)),
        (0x2002, high, low) => zone_4(inner(high, low)),
        // The address at which one cloud answers what others answer at 169.254.169.254.
        (0xfd00, 0xec2, _) => Zone::Never,
        (0xfe80..=0xfebf | 0xff00..=0xffff, ..) => Zone::Never,
        (0xfc00..=0xfdff | 0xfec0..=0xfeff, ..) | (0x2001, 0xdb8, _) | (0x100, 0, _) | (0x64, 0xff9b, _) => {
            Zone::Private
        }
        _ => Zone::Public,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (address, private, public) in [
            ("93.184.216.34", true, true),
            ("2606:2800:220:1::1", true, true),
            ("127.0.0.1", true, false),
            ("127.9.9.9", true, false),
            ("10.1.2.3", true, false),
            ("172.15.0.1", true, true),
            ("172.16.0.1", true, false),
            ("172.31.255.255", true, false),
            ("172.32.0.1", true, true),
            ("192.168.1.1", true, false),
            ("100.64.0.1", true, false),
            ("100.128.0.1", true, true),
            ("0.0.0.0", true, false),
            ("198.18.0.1", true, false),
            ("::1", true, false),
            ("::", true, false),
            ("fd12::1", true, false),
            ("2001:db8::1", true, false),
            ("::ffff:10.0.0.1", true, false),
            ("::ffff:93.184.216.34", true, true),
            ("64:ff9b::a00:1", true, false),
            ("2002:a00:1::", true, false),
            ("169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("febf::1", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("::169.254.169.254", false, false),
            ("64:ff9b::a9fe:a9fe", false, false),
            ("2002:a9fe:a9fe::1", false, false),
            ("fd00:ec2::254", false, false),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("ff02::1", false, false),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(Reach::Private.check(parsed).is_ok(), private, "{address}");
            assert_eq!(Reach::Public.check(parsed).is_ok(), public, "{address}");
            assert_eq!(Reach::Any.check(parsed), Ok(()), "{address}");
        }
    }
}
