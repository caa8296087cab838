//! Networks in CIDR notation (RFC 4632, RFC 4291 section 2.3).

use std::net::IpAddr;

/// A network, and the text it was written as. IPv4-mapped IPv6 addresses count as IPv4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    text: String,
    base: IpAddr,
    bits: u8,
}

/// Why a text that looks like a network is none.
pub(super) struct BadPrefix {
    pub(super) longest: u8,
}

impl Network {
    /// Reads `address/bits`. `None` when the text does not look like one at all.
    pub(super) fn parse(text: &str) -> Option<Result<Network, BadPrefix>> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        if bits.is_empty() || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits.parse::<u8>() {
            Ok(bits) if bits <= longest => bits,
            _ => return Some(Err(BadPrefix { longest })),
        };
        // `::ffff:10.0.0.0/104` is the IPv4 network 10.0.0.0/8.
        let (base, bits) = match address.to_canonical() {
            IpAddr::V4(base) if longest == 128 && bits >= 96 => (IpAddr::V4(base), bits - 96),
            _ => (address, bits),
        };
        Some(Ok(Network { text: text.to_owned(), base, bits }))
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a value is an address in the network, or the network's own text.
    pub fn matches(&self, value: &str) -> bool {
        value == self.text || address(value).is_some_and(|address| self.contains(address))
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits);
                base.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.bits);
                base.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
            }
            _ => false,
        }
    }
}

/// An address as it stands in a value, IPv4-mapped ones as IPv4.
pub(crate) fn address(value: &str) -> Option<IpAddr> {
    // The longest textual IPv6 address has 45 characters: anything longer is not worth reading.
    if value.len() > 45 {
        return None;
    }
    value.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.200.0.1", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("192.168.1.7/32", "192.168.1.7", true),
            ("192.168.1.7/32", "192.168.1.6", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::1/128", "2001:DB8:0::1", true),
            ("10.0.0.0/8", "10.0.0.0/8", true),
            ("10.0.0.0/8", "10.0.0.1 ", false),
            ("10.0.0.0/8", "-", false),
        ];
        for (network, value, expected) in cases {
            let Some(Ok(parsed)) = Network::parse(network) else { panic!("{network}") };
            assert_eq!(parsed.matches(value), expected, "{network} {value}");
        }
    }

    #[test]
    fn refuses() {
        assert!(matches!(Network::parse("10.0.0.0/33"), Some(Err(BadPrefix { longest: 32 }))));
        assert!(matches!(Network::parse("::/129"), Some(Err(BadPrefix { longest: 128 }))));
        assert!(matches!(Network::parse("::/999999999999"), Some(Err(_))));
        for text in ["10.0.0/8", "10.0.0.0", "10.0.0.0/", "10.0.0.0/a", "/8", "var/log"] {
            assert!(Network::parse(text).is_none(), "{text}");
        }
    }
}
