//! Verifying and decrypting: only what `gpg` says is signed, and by whom, is given on.
//!
//! What is refused is refused for good: [`Refusal`] says why. Two signatures are refused, as one of them could be anybody's. Signatures whose
//! hash can be forged (MD5, SHA-1, RIPEMD-160) are refused, too, though `gpg` takes some of them.

use std::ffi::OsString;
use std::io::{self, Read, Write};

use crate::fingerprint::Fingerprint;
use crate::problem::ultimate;
use crate::process::{Call, Done, Gpg, GpgError};
use crate::status::Status;

/// Hash algorithms of RFC 4880 that can be forged: MD5, SHA-1, RIPEMD-160.
const FORGEABLE: [&str; 3] = ["1", "2", "3"];

/// How much a key is trusted: the validity that `gpg` computed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// It is said not to be trusted.
    Never,
    /// Nothing is known.
    Undefined,
    /// Somewhat.
    Marginal,
    /// Somebody who is trusted has certified it.
    Full,
    /// It is one's own, or marked as such.
    Ultimate,
}

impl Trust {
    /// The word that `gpg` has for it.
    pub fn name(self) -> &'static str {
        match self {
            Trust::Never => "never",
            Trust::Undefined => "undefined",
            Trust::Marginal => "marginal",
            Trust::Full => "full",
            Trust::Ultimate => "ultimate",
        }
    }
}

/// What a message must be to be believed.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// Whose signature counts: primary keys. With none, nobody's does.
    pub signers: &'a [Fingerprint],
    /// How much the key must be trusted.
    pub trust: Trust,
    /// The most that it may hold, in bytes after decryption and decompression.
    pub bytes_max: u64,
}

/// A signature that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The signer's primary key.
    pub signer: Fingerprint,
    /// The key that made it: the primary one, or a subkey of it.
    pub key: Fingerprint,
    /// When it was made, in seconds since 1970, as the signer says.
    pub time: u64,
    /// What `gpg` calls this signature (SIG_ID). Whoever has an ECDSA or DSA signature can make a second one for the same text with another id,
    /// so it alone does not tell a message that came before.
    pub id: String,
    /// How much the key is trusted.
    pub trust: Trust,
}

/// A message that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What is signed. Whatever stood around it is not in here.
    pub text: Vec<u8>,
    /// By whom, and when.
    pub signature: Signature,
    /// Whether it was encrypted.
    pub encrypted: bool,
}

/// Why a message is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing in it is signed.
    #[error("it is not signed")]
    NotSigned,
    /// More than one signature.
    #[error("it has {0} signatures, expected one")]
    Several(usize),
    /// The signature is of another text: somebody changed it.
    #[error("the signature does not fit the text: it was changed on the way")]
    Bad,
    /// The key is not in the keyring.
    #[error(
        "it is signed by the key {key}, which the keyring does not have; get it from its owner, compare the fingerprint, and: {gpg} --import KEY.asc"
    )]
    NoKey {
        /// As far as the signature says.
        key: String,
        /// The command line of the GnuPG that was asked.
        gpg: String,
    },
    /// The key has expired.
    #[error("it is signed by the key {0}, which has expired")]
    KeyExpired(String),
    /// The key is revoked.
    #[error("it is signed by the key {0}, which is revoked")]
    KeyRevoked(String),
    /// The signature has expired.
    #[error("the signature by the key {0} has expired")]
    SignatureExpired(String),
    /// The signer is none of those that count.
    #[error("it is signed by {0}, which is none of the keys that may")]
    Stranger(Fingerprint),
    /// The key is not trusted as it must be.
    #[error("the signature of {signer} is good, but the trust level is too low: gpg trusts this key as {}, expected {}; compare the fingerprint with its owner, and: {remedy}", found.name(), expected.name())]
    TrustTooLow {
        /// The signer's primary key.
        signer: Fingerprint,
        /// How much it is trusted.
        found: Trust,
        /// How much it must be.
        expected: Trust,
        /// What mends it.
        remedy: String,
    },
    /// The hash of the signature can be forged.
    #[error(
        "the signature uses a hash that can be forged (OpenPGP's number {0}); the signer's gpg is to use SHA-256: gpg --digest-algo SHA256"
    )]
    Forgeable(String),
    /// No secret key that it is encrypted to.
    #[error("it is encrypted, and to none of the keys whose secret part is here")]
    NotForUs,
    /// It holds more than it may.
    #[error("it holds more than {0} bytes")]
    TooLarge(u64),
    /// It holds more packets than any message has.
    #[error("gpg has more to say of it than is read: it holds far more packets than a message does")]
    TooManyPackets,
    /// It is no OpenPGP message, or a damaged one.
    #[error("it is no whole OpenPGP message: {0}")]
    NoMessage(String),
}

/// A message was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not to be believed, now and later.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// `gpg` could not look. Try again.
    #[error(transparent)]
    Gpg(GpgError),
}

impl From<GpgError> for OpenError {
    fn from(error: GpgError) -> OpenError {
        match error {
            GpgError::SaysTooMuch => OpenError::Refused(Refusal::TooManyPackets),
            error => OpenError::Gpg(error),
        }
    }
}

impl Gpg {
    /// Opens a message: clear-signed, signed, or signed and encrypted; armoured or not.
    ///
    /// # Errors
    /// [`OpenError::Refused`] when it is not as demanded, [`OpenError::Gpg`] when that could not be found out.
    pub fn open(&self, message: &[u8], demand: &Demand<'_>) -> Result<Opened, OpenError> {
        let mut text = Vec::new();
        let (signature, encrypted) = self.open_stream(demand, &mut &*message, &mut text)?;
        Ok(Opened { text, signature, encrypted })
    }

    /// As [`open`](Self::open), of any size: the signature, and whether the message was encrypted. What was written is worth something only when
    /// this is `Ok`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_stream(
        &self,
        demand: &Demand<'_>,
        message: &mut (dyn Read + Send),
        text: &mut (dyn Write + Send),
    ) -> Result<(Signature, bool), OpenError> {
        let mut text = Bounded { to: text, left: demand.bytes_max, over: false };
        let call = Call {
            arguments: ["--output", "-", "--decrypt"].map(OsString::from).to_vec(),
            input: message,
            output: &mut text,
            unlocks: true,
            beside: None,
        };
        let done = self.run(call);
        if text.over {
            return Err(Refusal::TooLarge(demand.bytes_max).into());
        }
        let done = done?;
        let signature = self.judge(&done, demand)?;
        if done.status.count("PLAINTEXT") != 1 {
            return Err(Refusal::NoMessage("expected one text in it".to_owned()).into());
        }
        let encrypted = done.status.first("BEGIN_DECRYPTION").is_some();
        if encrypted && done.status.count("DECRYPTION_OKAY") != 1 {
            return Err(
                Refusal::NoMessage("its encryption does not show whether it was changed".to_owned()).into()
            );
        }
        Ok((signature, encrypted))
    }

    /// Verifies a signature that stands apart from what it signs.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn verify_detached(
        &self,
        signature: &[u8],
        demand: &Demand<'_>,
        signed: &mut (dyn Read + Send),
    ) -> Result<Signature, OpenError> {
        let done = self.run(Call {
            arguments: ["--verify", "--", "-"].map(OsString::from).to_vec(),
            input: signed,
            output: &mut io::sink(),
            unlocks: false,
            beside: Some(signature),
        })?;
        Ok(self.judge(&done, demand)?)
    }

    /// The one signature, if it holds.
    fn judge(&self, done: &Done, demand: &Demand<'_>) -> Result<Signature, Refusal> {
        let status = &done.status;
        let key_of = |keyword: &str| {
            status.first(keyword).and_then(|line| line.field(0)).unwrap_or("unknown").to_owned()
        };
        if status.first("BADSIG").is_some() {
            return Err(Refusal::Bad);
        }
        match status.count("NEWSIG").max(status.count("VALIDSIG")) {
            0 if status.first("NO_SECKEY").is_some() || status.first("DECRYPTION_FAILED").is_some() => {
                return Err(match status.first("DECRYPTION_OKAY") {
                    None => Refusal::NotForUs,
                    Some(_) => Refusal::NoMessage(done.said.clone()),
                });
            }
            0 if status.first("NODATA").is_some() || status.first("UNEXPECTED").is_some() => {
                return Err(Refusal::NoMessage("found no OpenPGP data".to_owned()));
            }
            0 if !done.success && status.first("PLAINTEXT").is_none() => {
                return Err(Refusal::NoMessage(done.said.clone()));
            }
            0 => return Err(Refusal::NotSigned),
            1 => {}
            several => return Err(Refusal::Several(several)),
        }
        if status.first("REVKEYSIG").is_some() {
            return Err(Refusal::KeyRevoked(key_of("REVKEYSIG")));
        }
        if status.first("EXPKEYSIG").is_some() {
            return Err(Refusal::KeyExpired(key_of("EXPKEYSIG")));
        }
        if status.first("EXPSIG").is_some() {
            return Err(Refusal::SignatureExpired(key_of("EXPSIG")));
        }
        if let Some(error) = status.first("ERRSIG") {
            // ERRSIG <key id> <algorithm> <hash> <class> <time> <reason> <fingerprint>; reason 9 is a missing key.
            let given = error.field(6).filter(|key| key.len() > 1).or(error.field(0));
            return Err(match error.field(5) {
                Some("9") => {
                    let key = given.unwrap_or("unknown").to_owned();
                    Refusal::NoKey { key, gpg: self.typed() }
                }
                _ => Refusal::NoMessage(done.said.clone()),
            });
        }
        let found = signature(status).ok_or_else(|| Refusal::NoMessage(done.said.clone()))?;
        if status.count("GOODSIG") != 1 || !done.success {
            return Err(Refusal::NoMessage(done.said.clone()));
        }
        let valid = status.first("VALIDSIG");
        if let Some(hash) = valid.and_then(|line| line.field(7)).filter(|hash| FORGEABLE.contains(hash)) {
            return Err(Refusal::Forgeable(hash.to_owned()));
        }
        if !demand.signers.contains(&found.signer) {
            return Err(Refusal::Stranger(found.signer));
        }
        if found.trust < demand.trust {
            return Err(Refusal::TrustTooLow {
                remedy: ultimate(&found.signer, &self.typed()),
                signer: found.signer,
                found: found.trust,
                expected: demand.trust,
            });
        }
        Ok(found)
    }
}

/// VALIDSIG <key> <date> <time> <expires> <version> <reserved> <algorithm> <hash> <class> <primary key>
fn signature(status: &Status) -> Option<Signature> {
    let valid = status.first("VALIDSIG")?;
    // Of a document as bytes or as text; certificates of keys have other classes.
    if !matches!(valid.field(8)?, "00" | "01") {
        return None;
    }
    let key: Fingerprint = valid.field(0)?.parse().ok()?;
    let trust = [
        ("TRUST_NEVER", Trust::Never),
        ("TRUST_UNDEFINED", Trust::Undefined),
        ("TRUST_MARGINAL", Trust::Marginal),
        ("TRUST_FULLY", Trust::Full),
        ("TRUST_ULTIMATE", Trust::Ultimate),
    ];
    let mut said = trust.iter().filter(|(keyword, _)| status.first(keyword).is_some());
    let trust = match (said.next(), said.next()) {
        (Some((_, trust)), None) => *trust,
        _ => Trust::Never,
    };
    Some(Signature {
        signer: valid.field(9)?.parse().ok()?,
        time: valid.field(2)?.parse().ok()?,
        id: status.first("SIG_ID")?.field(0)?.to_owned(),
        key,
        trust,
    })
}

/// Takes so much and no more.
struct Bounded<'a> {
    to: &'a mut (dyn Write + Send),
    left: u64,
    over: bool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.left.checked_sub(bytes.len() as u64) {
            Some(left) => {
                let written = self.to.write(bytes)?;
                self.left = left + (bytes.len() - written) as u64;
                Ok(written)
            }
            None => {
                self.over = true;
                Err(io::Error::other("the message is too large"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
