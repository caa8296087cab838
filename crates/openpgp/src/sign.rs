//! Signing and encrypting.

use std::ffi::OsString;
use std::io::{Read, Write};

use crate::fingerprint::Fingerprint;
use crate::problem::KeyProblem;
use crate::process::{Call, Done, Gpg, GpgError};

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As text (ASCII armour), a third larger.
    Armoured,
    /// As they are.
    Binary,
}

/// What is done with a file. With neither signer nor recipients it is refused.
#[derive(Clone, Debug)]
pub struct Protection<'a> {
    /// Who signs it.
    pub sign_with: Option<&'a Fingerprint>,
    /// Who can read it: all of these, and nobody else. With none, everybody.
    pub encrypt_to: &'a [Fingerprint],
    /// How it is written.
    pub form: Form,
}

/// A signature was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The key that made it: the primary one, or a subkey of it.
    pub key: Fingerprint,
    /// When, in seconds since 1970.
    pub time: u64,
}

impl Gpg {
    /// Signs a text so that it stays readable (RFC 4880, section 7). Spaces at the ends of lines are not signed.
    ///
    /// # Errors
    /// When the key cannot be used, or `gpg` fails.
    pub fn clear_sign(&self, signer: &Fingerprint, text: &str) -> Result<(String, Signed), GpgError> {
        let mut out = Vec::new();
        let arguments = ["--local-user", signer.as_str(), "--clearsign"].map(OsString::from).to_vec();
        let signed = self.sign(arguments, signer, &mut text.as_bytes(), &mut out)?;
        let text = String::from_utf8(out)
            .map_err(|_| GpgError::Failed("the signed text is not UTF-8".to_owned()))?;
        Ok((text, signed))
    }

    /// Signs and encrypts what it reads, of any size. What was written before an error is worth nothing.
    ///
    /// # Errors
    /// When a key cannot be used, or `gpg` fails, or input or output do.
    pub fn protect(
        &self,
        how: &Protection<'_>,
        input: &mut (dyn Read + Send),
        output: &mut (dyn Write + Send),
    ) -> Result<Option<Signed>, GpgError> {
        // What comes is compressed already, or small.
        let mut arguments: Vec<OsString> = vec!["--compress-algo=none".into()];
        if how.form == Form::Armoured {
            arguments.push("--armor".into());
        }
        for recipient in how.encrypt_to {
            arguments.extend(["--recipient".into(), OsString::from(recipient.as_str())]);
        }
        if let Some(signer) = how.sign_with {
            arguments.extend(["--local-user".into(), OsString::from(signer.as_str()), "--sign".into()]);
        }
        if !how.encrypt_to.is_empty() {
            arguments.push("--encrypt".into());
        }
        match how.sign_with {
            Some(signer) => self.sign(arguments, signer, input, output).map(Some),
            None if how.encrypt_to.is_empty() => {
                Err(GpgError::Failed("neither a signer nor recipients are given".to_owned()))
            }
            None => {
                let done = self.run(Call { arguments, input, output, unlocks: false, beside: None })?;
                match done.success && done.status.first("END_ENCRYPTION").is_some() {
                    true => Ok(None),
                    false => Err(self.why(&done, None)),
                }
            }
        }
    }

    /// Signs what it reads, of any size, apart from it.
    ///
    /// # Errors
    /// When the key cannot be used, or `gpg` fails, or the input does.
    pub fn detached_signature(
        &self,
        signer: &Fingerprint,
        form: Form,
        input: &mut (dyn Read + Send),
    ) -> Result<(Vec<u8>, Signed), GpgError> {
        let mut out = Vec::new();
        let mut arguments: Vec<OsString> = vec!["--local-user".into(), signer.as_str().into()];
        if form == Form::Armoured {
            arguments.push("--armor".into());
        }
        arguments.push("--detach-sign".into());
        let signed = self.sign(arguments, signer, input, &mut out)?;
        Ok((out, signed))
    }

    fn sign(
        &self,
        arguments: Vec<OsString>,
        signer: &Fingerprint,
        input: &mut (dyn Read + Send),
        output: &mut (dyn Write + Send),
    ) -> Result<Signed, GpgError> {
        let encrypts = arguments.iter().any(|argument| argument == "--encrypt");
        let done = self.run(Call { arguments, input, output, unlocks: true, beside: None })?;
        // SIG_CREATED <type> <algorithm> <hash> <class> <time> <fingerprint>
        let created = done.status.first("SIG_CREATED");
        let signed = created.and_then(|line| {
            Some(Signed { time: line.field(4)?.parse().ok()?, key: line.field(5)?.parse().ok()? })
        });
        let whole = !encrypts || done.status.first("END_ENCRYPTION").is_some();
        match signed {
            Some(signed) if done.success && whole => Ok(signed),
            _ => Err(self.why(&done, Some(signer))),
        }
    }

    /// Why nothing was signed or encrypted. Keys were looked at before, but a keyring is the user's, and may change at any time.
    fn why(&self, done: &Done, signer: Option<&Fingerprint>) -> GpgError {
        for line in done.status.lines() {
            // INV_RECP and INV_SGNR <reason> <what was asked for>
            let code = match line.keyword.as_str() {
                "INV_RECP" | "INV_SGNR" => line.field(0),
                _ => continue,
            };
            let wanted = line.field(1).unwrap_or_default().to_owned();
            if code == Some("0") && line.keyword == "INV_SGNR" {
                continue;
            }
            if code == Some("1") {
                return KeyProblem::Missing { wanted, gpg: self.typed() }.into();
            }
            let purpose = match line.keyword.as_str() {
                "INV_RECP" => crate::KeyUse::Encrypt,
                _ => crate::KeyUse::Sign,
            };
            if let Err(error) = self.key(&wanted, purpose) {
                return error;
            }
        }
        // Of libgpg-error, in the low 16 bits: 11 is a bad passphrase, 99 a cancelled question, 177 no passphrase. Whoever asks people for it
        // has nobody to ask here.
        let asked = done.status.first("PINENTRY_LAUNCHED").is_some();
        let locked = done.status.all("FAILURE").any(|line| {
            let code = line.field(1).and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xffff);
            asked || matches!(code, Some(11 | 99 | 177))
        });
        match (signer, locked) {
            (Some(signer), true) => {
                KeyProblem::Locked { fingerprint: signer.clone(), gpg: self.typed() }.into()
            }
            (Some(signer), false) => match self.key(signer.as_str(), crate::KeyUse::Sign) {
                Err(error @ GpgError::Key(_)) => error,
                _ => done.failed(),
            },
            _ => done.failed(),
        }
    }
}
