//! Verifier and signing keys of C2SP `signed-note`: Ed25519 (type 1) and, for verifying only, the witnesses'
//! timestamped cosignatures of C2SP `tlog-cosignature` (type 4).
//!
//! A verifier key is `<name>+<8 hex digits>+<base64(type ‖ public key)>`, a signing key
//! `PRIVATE+KEY+<name>+<8 hex digits>+<base64(0x01 ‖ seed)>`. The digits are the key's id, the first four bytes of
//! SHA-256(name ‖ 0x0A ‖ type ‖ public key); a key whose digits do not fit the rest is refused.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ed25519_dalek::Signer as _;
use sha2::{Digest, Sha256};

use crate::note::Signature;

const ED25519: u8 = 0x01;
const COSIGNATURE: u8 = 0x04;
const PRIVATE_PREFIX: &str = "PRIVATE+KEY+";

/// Why a key was not accepted. Never shows the key.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not `name+id+key`.
    #[error("not a key in signed-note form")]
    Malformed,
    /// The name is empty or holds a space or a plus sign.
    #[error("a key's name is not empty and has neither spaces nor plus signs")]
    Name,
    /// A type of key that is not known here.
    #[error("key type {0} is not known; Ed25519 (1) and its cosignatures (4) are")]
    Type(u8),
    /// The id in the text is not the key's.
    #[error("the key's id does not fit its name and content: it was mistyped or altered")]
    Id,
}

/// What signatures of one key are checked with.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    kind: Kind,
    public: ed25519_dalek::VerifyingKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ed25519,
    Cosignature,
}

/// A signature that does not hold.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the signature does not hold")]
pub struct BadSignature;

impl VerifierKey {
    /// The key's name; for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The short id that a signature line carries besides the name.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// True for a witness's key (type 4), whose signatures carry a time.
    pub fn is_cosigner(&self) -> bool {
        self.kind == Kind::Cosignature
    }

    /// Checks a signature, given without the key id, over a note's text. A cosignature's time is returned, in seconds
    /// since 1970-01-01 UTC.
    ///
    /// # Errors
    /// [`BadSignature`] for anything but a valid signature of this key over this text.
    pub fn verify(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, BadSignature> {
        match self.kind {
            Kind::Ed25519 => {
                self.verify_bytes(text.as_bytes(), signature)?;
                Ok(None)
            }
            Kind::Cosignature => {
                let (time, signature) = signature.split_first_chunk().ok_or(BadSignature)?;
                let time = u64::from_be_bytes(*time);
                if time > i64::MAX as u64 {
                    return Err(BadSignature);
                }
                self.verify_bytes(format!("cosignature/v1\ntime {time}\n{text}").as_bytes(), signature)?;
                Ok(Some(time))
            }
        }
    }

    fn verify_bytes(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| BadSignature)?;
        self.public.verify_strict(message, &signature).map_err(|_| BadSignature)
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, id, kind, bytes) = split(text)?;
        let kind = match kind {
            ED25519 => Kind::Ed25519,
            COSIGNATURE => Kind::Cosignature,
            other => return Err(KeyError::Type(other)),
        };
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| KeyError::Malformed)?;
        if id != key_id(name, kind.byte(), &bytes) {
            return Err(KeyError::Id);
        }
        let public = ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::Malformed)?;
        Ok(Self { name: name.to_owned(), id, kind, public })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.kind.byte()];
        bytes.extend_from_slice(self.public.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.id, BASE64_STANDARD.encode(bytes))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Kind::Ed25519 => ED25519,
            Kind::Cosignature => COSIGNATURE,
        }
    }
}

/// An Ed25519 key that signs notes. Its memory is wiped when it is dropped; `Debug` shows the public part only.
#[derive(Clone)]
pub struct SigningKey {
    name: String,
    id: u32,
    secret: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// A key of this name from 32 random bytes, which must come from the system's generator and be used for nothing else.
    ///
    /// # Errors
    /// [`KeyError::Name`] when the name cannot stand in a note.
    pub fn generate(name: &str, random: [u8; 32]) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError::Name);
        }
        let secret = ed25519_dalek::SigningKey::from_bytes(&random);
        let id = key_id(name, ED25519, secret.verifying_key().as_bytes());
        Ok(Self { name: name.to_owned(), id, secret })
    }

    /// Reads a line `PRIVATE+KEY+…`; a newline at its end is allowed.
    ///
    /// # Errors
    /// [`KeyError`] says why the text is no signing key.
    pub fn from_private_text(text: &str) -> Result<Self, KeyError> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let (name, id, kind, seed) = split(text.strip_prefix(PRIVATE_PREFIX).ok_or(KeyError::Malformed)?)?;
        if kind != ED25519 {
            return Err(KeyError::Type(kind));
        }
        let key = Self::generate(name, seed.try_into().map_err(|_| KeyError::Malformed)?)?;
        if key.id == id { Ok(key) } else { Err(KeyError::Id) }
    }

    /// The line that [`from_private_text`](Self::from_private_text) reads, without a newline. It is the secret itself.
    pub fn to_private_text(&self) -> String {
        let mut bytes = vec![ED25519];
        bytes.extend_from_slice(self.secret.as_bytes());
        format!("{PRIVATE_PREFIX}{}+{:08x}+{}", self.name, self.id, BASE64_STANDARD.encode(bytes))
    }

    /// The key's name; for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that checks this one's signatures.
    pub fn verifier(&self) -> VerifierKey {
        VerifierKey {
            name: self.name.clone(),
            id: self.id,
            kind: Kind::Ed25519,
            public: self.secret.verifying_key(),
        }
    }

    /// Signs a note's text.
    pub fn sign(&self, text: &str) -> Signature {
        Signature {
            name: self.name.clone(),
            key_id: self.id,
            signature: self.secret.sign(text.as_bytes()).to_bytes().to_vec(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier())
    }
}

/// A key's name is not empty and has neither Unicode spaces nor a plus sign; control characters have no place in a note.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn key_id(name: &str, kind: u8, public: &[u8]) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(name);
    hasher.update([b'\n', kind]);
    hasher.update(public);
    let hash: [u8; 32] = hasher.finalize().into();
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// Takes `name+id+base64` apart into the name, the id, the type byte and what follows it.
fn split(text: &str) -> Result<(&str, u32, u8, Vec<u8>), KeyError> {
    let (name, rest) = text.split_once('+').ok_or(KeyError::Malformed)?;
    let (id, key) = rest.split_once('+').ok_or(KeyError::Malformed)?;
    if !is_name(name) {
        return Err(KeyError::Name);
    }
    // from_str_radix alone would take a sign.
    if id.len() != 8 || !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(KeyError::Malformed);
    }
    let id = u32::from_str_radix(id, 16).map_err(|_| KeyError::Malformed)?;
    let mut key = BASE64_STANDARD.decode(key).map_err(|_| KeyError::Malformed)?;
    if key.is_empty() {
        return Err(KeyError::Malformed);
    }
    let kind = key.remove(0);
    Ok((name, id, kind, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the documentation of Go's `golang.org/x/mod/sumdb/note`.
    const PUBLISHED: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PUBLISHED_PRIVATE: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

    #[test]
    fn published_keys() {
        let verifier: VerifierKey = PUBLISHED.parse().unwrap();
        assert_eq!(
            (verifier.name(), verifier.id(), verifier.is_cosigner()),
            ("PeterNeumann", 0xc74f_20a3, false)
        );
        assert_eq!(verifier.to_string(), PUBLISHED);
        let signing = SigningKey::from_private_text(PUBLISHED_PRIVATE).unwrap();
        assert_eq!(signing.verifier(), verifier);
        assert_eq!(signing.to_private_text(), PUBLISHED_PRIVATE);
        assert_eq!(SigningKey::from_private_text(&format!("{PUBLISHED_PRIVATE}\n")).unwrap().id, signing.id);
        assert!(!format!("{signing:?}").contains("AYEK"), "Debug shows the secret");
        // The key of Go's checksum database.
        assert!(
            "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
                .parse::<VerifierKey>()
                .is_ok()
        );
    }

    #[test]
    fn altered_keys_are_refused() {
        use KeyError::{Id, Malformed, Name, Type};
        for (text, expected) in [
            ("", Malformed),
            ("PeterNeumann", Malformed),
            ("PeterNeumann+c74f20a3", Malformed),
            ("+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", Name),
            ("Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", Name),
            ("Peter\u{a0}Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", Name),
            ("PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", Id),
            ("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", Id),
            ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TX", Id),
            ("PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", Malformed),
            ("PeterNeumann++74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", Malformed),
            ("PeterNeumann+74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", Malformed),
            ("PeterNeumann+c74f20a3+", Malformed),
            ("PeterNeumann+c74f20a3+AQ==", Malformed),
            ("PeterNeumann+c74f20a3+AhpcAAA=", Type(2)),
            ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n", Malformed),
        ] {
            assert_eq!(text.parse::<VerifierKey>(), Err(expected), "{text:?}");
        }
        for text in
            [PUBLISHED, "PRIVATE+KEY+", &PUBLISHED_PRIVATE[..60], &PUBLISHED_PRIVATE.replace("c7", "c8")]
        {
            assert!(SigningKey::from_private_text(text).is_err(), "{text:?}");
        }
        for name in ["", "a b", "a+b", "a\nb", "a\u{2003}b", "a\u{7f}"] {
            assert_eq!(SigningKey::generate(name, [7; 32]).map(|key| key.id), Err(Name), "{name:?}");
        }
    }

    #[test]
    fn agrees_with_another_implementation() {
        use signed_note::{Signer as _, StandardSigner, StandardVerifier, Verifier as _};
        for seed in 0..20 {
            let ours = SigningKey::generate("example.com/log", [seed; 32]).unwrap();
            let theirs = StandardSigner::new(&ours.to_private_text()).unwrap();
            let their_verifier = StandardVerifier::new(&ours.verifier().to_string()).unwrap();
            assert_eq!((theirs.name(), theirs.key_id()), ("example.com/log", ours.id));
            let text = format!("{seed}\n");
            let signature = ours.sign(&text).signature;
            assert_eq!(theirs.sign(text.as_bytes()).unwrap(), signature);
            assert!(their_verifier.verify(text.as_bytes(), &signature));
            assert_eq!(ours.verifier().verify(&text, &signature), Ok(None));
            assert_eq!(ours.verifier().verify("other\n", &signature), Err(BadSignature));
        }
    }

    /// The message of the example in C2SP `tlog-cosignature`, signed here since its key is not published.
    #[test]
    fn cosignatures_sign_their_time() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let secret = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
        let public = secret.verifying_key().to_bytes();
        let id = key_id("witness.example.com/w1", COSIGNATURE, &public);
        let encoded = BASE64_STANDARD.encode([&[COSIGNATURE][..], &public].concat());
        let vkey = format!("witness.example.com/w1+{id:08x}+{encoded}");
        let key: VerifierKey = vkey.parse().unwrap();
        assert!(key.is_cosigner());
        assert_eq!(key.to_string(), vkey);

        let signed = secret.sign(format!("cosignature/v1\ntime 1679315147\n{text}").as_bytes()).to_bytes();
        let signature = [&1_679_315_147_u64.to_be_bytes()[..], &signed].concat();
        assert_eq!(key.verify(text, &signature), Ok(Some(1_679_315_147)));
        for position in 0..signature.len() {
            let mut changed = signature.clone();
            changed[position] ^= 1;
            assert_eq!(key.verify(text, &changed), Err(BadSignature), "byte {position}");
        }
        assert_eq!(key.verify(text, &signed), Err(BadSignature));
        assert_eq!(key.verify(text, &[]), Err(BadSignature));
        assert_eq!(key.verify(&text.replace("20852163", "20852164"), &signature), Err(BadSignature));
    }
}
