//! Which key is meant, and whether it can be used for what is wanted.

use std::ffi::OsString;
use std::io;

use crate::fingerprint::{Fingerprint, hex_digits};
use crate::listing;
use crate::problem::{KeyProblem, Told};
use crate::process::{Call, Gpg, GpgError};

/// The fewest digits of a key id: ids of 8 digits are made to order.
const ID_DIGITS_MIN: usize = 16;

/// What a key is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyUse {
    /// To sign with: its secret part must be here.
    Sign,
    /// To encrypt to: it must be known whose it is.
    Encrypt,
    /// To believe what it signed: it must be trusted ultimately.
    Believe,
}

/// How sure it is that a key is its owner's, or why it cannot be used at all (`doc/DETAILS` of GnuPG, field 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Validity {
    /// Somebody has revoked it.
    Revoked,
    /// Its time is over.
    Expired,
    /// It is switched off here.
    Disabled,
    /// It is no valid key: no self-signature, say.
    Invalid,
    /// It is said not to be whose it claims.
    Never,
    /// Nothing is known.
    Unknown,
    /// Somewhat.
    Marginal,
    /// Somebody who is trusted has certified it.
    Full,
    /// It is one's own.
    Ultimate,
}

impl Validity {
    /// The word that `gpg` has for it.
    pub fn name(self) -> &'static str {
        match self {
            Validity::Revoked => "revoked",
            Validity::Expired => "expired",
            Validity::Disabled => "disabled",
            Validity::Invalid => "invalid",
            Validity::Never => "never",
            Validity::Unknown => "unknown",
            Validity::Marginal => "marginal",
            Validity::Full => "full",
            Validity::Ultimate => "ultimate",
        }
    }
}

/// A key of the keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Of its primary key.
    pub fingerprint: Fingerprint,
    /// How sure it is whose it is.
    pub validity: Validity,
    /// Its user ids, each with how sure that one is.
    pub user_ids: Vec<(Validity, String)>,
    /// When it expires, in seconds since 1970; none when it does not.
    pub expires: Option<u64>,
    /// Whether it or a subkey of it can sign now.
    pub signs: bool,
    /// Whether a subkey of it can be encrypted to now.
    pub encrypts: bool,
    /// Whether the secret part of what signs is here.
    pub secret: bool,
}

impl Key {
    /// Its first user id.
    pub fn owner(&self) -> &str {
        self.user_ids.first().map_or("nobody", |(_, name)| name)
    }
}

/// A key as it was asked for.
enum Wanted {
    /// Digits of a fingerprint or of a long id.
    Digits(String),
    Mail(String),
}

impl Wanted {
    fn of(text: &str) -> Option<Wanted> {
        let text = text.trim();
        if let Some(digits) = hex_digits(text).filter(|digits| digits.len() >= ID_DIGITS_MIN) {
            return Some(Wanted::Digits(digits));
        }
        let mail = text.trim_start_matches('<').trim_end_matches('>');
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"<>".contains(c);
        match mail.split_once('@') {
            Some((name, host)) if !name.is_empty() && !host.is_empty() && mail.chars().all(plain) => {
                Some(Wanted::Mail(mail.to_owned()))
            }
            _ => None,
        }
    }

    /// As `gpg` takes it: an address must fit as a whole, not somewhere within.
    fn argument(&self) -> String {
        match self {
            Wanted::Digits(digits) => format!("0x{digits}"),
            Wanted::Mail(mail) => format!("<{mail}>"),
        }
    }
}

impl Gpg {
    /// The one key that a fingerprint, an id of 16 digits or a mail address names, if it can be used for that.
    ///
    /// # Errors
    /// [`GpgError::Key`] when there is none, or several, or it cannot be used, with the command that mends it.
    pub fn key(&self, wanted: &str, purpose: KeyUse) -> Result<Key, GpgError> {
        let no_name = || KeyProblem::NoName { wanted: wanted.to_owned(), gpg: self.typed() };
        let parsed = Wanted::of(wanted).ok_or_else(no_name)?;
        let mut keys = self.list(&parsed.argument())?;
        if keys.len() > 1 {
            let candidates = keys.iter().map(|key| Told::of(key, key.validity)).collect();
            return Err(KeyProblem::Several { wanted: wanted.to_owned(), candidates }.into());
        }
        let Some(key) = keys.pop() else {
            return Err(KeyProblem::Missing { wanted: wanted.to_owned(), gpg: self.typed() }.into());
        };
        // Who asks for an address means the user id that has it: another of the same key may be certified, and this one be made up.
        let validity = match &parsed {
            Wanted::Digits(_) => key.validity,
            Wanted::Mail(mail) => {
                let has = |name: &str| name.to_lowercase().contains(&mail.to_lowercase());
                let of_mail =
                    key.user_ids.iter().filter(|(_, name)| has(name)).map(|(validity, _)| *validity);
                of_mail.max().unwrap_or(key.validity).min(key.validity)
            }
        };
        self.usable(&key, validity, purpose)?;
        Ok(key)
    }

    fn usable(&self, key: &Key, validity: Validity, purpose: KeyUse) -> Result<(), KeyProblem> {
        let (told, gpg) = (Told::of(key, validity), self.typed());
        match validity {
            Validity::Expired => return Err(KeyProblem::Expired { key: told, secret: key.secret, gpg }),
            Validity::Revoked => return Err(KeyProblem::Revoked { key: told, gpg }),
            Validity::Disabled => return Err(KeyProblem::Disabled { key: told, gpg }),
            Validity::Invalid => return Err(KeyProblem::Invalid { key: told, gpg }),
            _ => {}
        }
        match purpose {
            KeyUse::Sign if !key.secret => Err(KeyProblem::NoSecret { key: told, gpg }),
            KeyUse::Sign if !key.signs => Err(KeyProblem::CannotSign { key: told, gpg }),
            KeyUse::Encrypt if !key.encrypts => Err(KeyProblem::CannotEncrypt { key: told, gpg }),
            KeyUse::Encrypt if validity < Validity::Marginal => Err(KeyProblem::Untrusted { key: told, gpg }),
            KeyUse::Believe if validity < Validity::Ultimate => {
                Err(KeyProblem::TrustTooLow { key: told, gpg })
            }
            _ => Ok(()),
        }
    }

    fn list(&self, argument: &str) -> Result<Vec<Key>, GpgError> {
        let mut out = Vec::new();
        let listing = ["--with-colons", "--fixed-list-mode", "--with-secret", "--list-keys", "--"];
        let mut arguments: Vec<OsString> = listing.map(OsString::from).to_vec();
        arguments.push(argument.into());
        let done = self.run(Call {
            arguments,
            input: &mut io::empty(),
            output: &mut out,
            unlocks: false,
            beside: None,
        })?;
        let keys = listing::keys(&String::from_utf8_lossy(&out));
        let none = done.status.first("ERROR").is_some_and(|line| line.rest.starts_with("keylist.getkey"));
        match done.success || none {
            true => Ok(keys),
            false => Err(done.failed()),
        }
    }
}
