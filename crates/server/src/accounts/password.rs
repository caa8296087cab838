//! Passwords: the rule for new ones, and argon2id.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

use super::AccountsError;

/// The least number of characters of a new password.
pub const PASSWORD_MIN_CHARS: usize = 8;

/// The most bytes of a password: beyond it hashing only costs the server time.
pub const PASSWORD_MAX_BYTES: usize = 1_024;

/// Checks a new password against the rule: length, and not the user's own name.
pub(super) fn check(password: &str, name: &str) -> Result<(), AccountsError> {
    let rule = if password.chars().count() < PASSWORD_MIN_CHARS {
        format!("at least {PASSWORD_MIN_CHARS} characters")
    } else if password.len() > PASSWORD_MAX_BYTES {
        format!("at most {PASSWORD_MAX_BYTES} bytes")
    } else if password.eq_ignore_ascii_case(name) {
        "not the user name".to_owned()
    } else {
        return Ok(());
    };
    Err(AccountsError::invalid("password", rule))
}

/// Hashes with argon2id and the crate's defaults, which are OWASP's (19 MiB, 2 passes, 1 lane; RFC 9106).
pub(super) fn hash(password: &str) -> Result<String, AccountsError> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| AccountsError::invalid("password", error.to_string()))
}

/// Whether `password` is the one behind `stored`; where there is none, hashes all the same, so that the time of the
/// answer does not tell which names exist.
pub(super) fn verify(password: &str, stored: Option<&str>) -> bool {
    if password.len() > PASSWORD_MAX_BYTES {
        return false;
    }
    let parsed = stored.and_then(|stored| PasswordHash::new(stored).ok());
    match parsed {
        Some(parsed) => Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok(),
        None => {
            let _ = Argon2::default().hash_password(password.as_bytes());
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule() {
        let long = "x".repeat(PASSWORD_MAX_BYTES + 1);
        for (password, good) in [
            ("", false),
            ("1234567", false),
            ("12345678", true),
            ("ööööööö", false),
            ("öööööööö", true),
            ("Margarete", false),
            (long.as_str(), false),
        ] {
            assert_eq!(check(password, "margarete").is_ok(), good, "{password}");
        }
    }

    #[test]
    fn only_the_password_verifies() {
        let stored = hash("correct horse").unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify("correct horse", Some(&stored)));
        assert!(!verify("correct horsf", Some(&stored)));
        assert!(!verify("correct horse", None));
        assert!(!verify("correct horse", Some("not a hash")));
    }
}
