//! What we sign and encrypt, read by `gpg` as anybody runs it.

use std::io::{self, Read};
use std::process::Command;

use attestry_openpgp::{Demand, Fingerprint, Form, GpgError, KeyProblem, KeyUse, Protection, Trust};
use attestry_testkit::GnuPg;

use crate::{gpg, gpg_with};

/// Bytes that are made as they are read.
struct Made(u64);

impl Read for Made {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = into.len().min(usize::try_from(self.0).unwrap());
        for (at, byte) in into[..len].iter_mut().enumerate() {
            *byte = ((self.0 - at as u64) % 251) as u8;
        }
        self.0 -= len as u64;
        Ok(len)
    }
}

fn demand(signers: &[Fingerprint]) -> Demand<'_> {
    Demand { signers, trust: Trust::Ultimate, bytes_max: 64 << 20 }
}

#[test]
fn a_signed_text_stays_readable() {
    let me = GnuPg::new();
    let signer: Fingerprint = me.key("Me <me@example.org>").parse().unwrap();
    let text = "a line\n- a dash\nFrom somebody\nÄ 😀\n";
    let (signed, made) = gpg(&me).clear_sign(&signer, text).unwrap();
    assert_eq!(made.key, signer);
    assert!(signed.starts_with("-----BEGIN PGP SIGNED MESSAGE-----\n") && signed.contains("\na line\n"));
    me.run(&["--verify"], signed.as_bytes()).is(0).says("Good signature");
    let signers = [signer];
    let opened = gpg(&me).open(signed.as_bytes(), &demand(&signers)).unwrap();
    assert_eq!(String::from_utf8(opened.text).unwrap(), text);
    assert_eq!((opened.signature.time, opened.encrypted), (made.time, false));
}

#[test]
fn what_is_encrypted_is_read_by_each_recipient_and_by_nobody_else() {
    let (me, alice, bob, eve) = (GnuPg::new(), GnuPg::new(), GnuPg::new(), GnuPg::new());
    let signer: Fingerprint = me.key("Me <me@example.org>").parse().unwrap();
    let mut recipients = Vec::new();
    for (of, name) in [(&alice, "Alice <alice@example.org>"), (&bob, "Bob <bob@example.org>")] {
        let key = of.key(name);
        me.import(of, &key);
        me.trust(&key, 6);
        of.import(&me, signer.as_str());
        recipients.push(gpg(&me).key(&key, KeyUse::Encrypt).unwrap().fingerprint);
    }
    eve.key("Eve <eve@example.org>");
    // The user's own options must not add a reader.
    std::fs::write(me.home().join("gpg.conf"), "encrypt-to me@example.org\ndefault-recipient-self\n")
        .unwrap();
    let bytes = 20_000_000;
    for form in [Form::Armoured, Form::Binary] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sealed");
        let how = Protection { sign_with: Some(&signer), encrypt_to: &recipients, form };
        let mut out = std::fs::File::create(&file).unwrap();
        let signed = gpg(&me).protect(&how, &mut Made(bytes), &mut out).unwrap();
        assert_eq!(signed.unwrap().key, signer);
        let sealed = std::fs::read(&file).unwrap();
        assert_eq!(sealed.starts_with(b"-----BEGIN PGP MESSAGE-----"), form == Form::Armoured);
        for reader in [&alice, &bob] {
            let plain = folder.path().join("plain");
            reader.decrypt(&file, &plain).is(0).says("VALIDSIG").says("Good signature");
            let mut expected = Vec::new();
            Made(bytes).read_to_end(&mut expected).unwrap();
            assert!(std::fs::read(&plain).unwrap() == expected);
        }
        for stranger in [&eve, &me] {
            let ran = stranger.decrypt(&file, &folder.path().join("stolen"));
            assert_ne!(ran.code, Some(0));
        }
    }
    // One without the other.
    let how = Protection { sign_with: None, encrypt_to: &recipients, form: Form::Binary };
    assert_eq!(gpg(&me).protect(&how, &mut Made(10), &mut Vec::new()).unwrap(), None);
    let how = Protection { sign_with: None, encrypt_to: &[], form: Form::Binary };
    assert!(gpg(&me).protect(&how, &mut Made(10), &mut Vec::new()).is_err());
}

#[test]
fn a_signature_apart_holds_for_its_file_alone() {
    let me = GnuPg::new();
    let signer: Fingerprint = me.key("Me <me@example.org>").parse().unwrap();
    for form in [Form::Armoured, Form::Binary] {
        let (signature, _) = gpg(&me).detached_signature(&signer, form, &mut Made(3_000_000)).unwrap();
        let signers = [signer.clone()];
        let verify = |bytes| gpg(&me).verify_detached(&signature, &demand(&signers), &mut Made(bytes));
        assert_eq!(verify(3_000_000).unwrap().signer, signer);
        let error = verify(3_000_001).unwrap_err();
        assert!(error.to_string().contains("does not fit"), "{error}");
        assert!(gpg(&me).verify_detached(b"", &demand(&signers), &mut Made(1)).is_err());
    }
}

#[test]
fn a_passphrase_unlocks_and_is_in_no_argument_and_no_error() {
    let me = GnuPg::new();
    let key: Fingerprint =
        me.key_with("Me <me@example.org>", "sword fish \"ä", &[], "never").parse().unwrap();
    // The agent must not have kept it.
    let forget =
        || Command::new("gpgconf").arg("--homedir").arg(me.home()).args(["--kill", "gpg-agent"]).status();
    forget().unwrap();
    for wrong in [Some("swordfish-wrong"), None] {
        let error = gpg_with(&me, wrong).clear_sign(&key, "text").unwrap_err();
        assert!(matches!(error, GpgError::Key(KeyProblem::Locked { .. })), "{wrong:?}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("swordfish"), "{error:?}");
    }
    gpg_with(&me, Some("sword fish \"ä")).clear_sign(&key, "text").unwrap();
    forget().unwrap();

    // A gpg that writes down how it is called.
    let folder = tempfile::tempdir().unwrap();
    let (program, seen) = (folder.path().join("gpg"), folder.path().join("seen"));
    let script =
        format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >> {0}\nenv >> {0}\nexec gpg \"$@\"\n", seen.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let config = attestry_openpgp::OpenpgpConfig {
        program,
        home: Some(me.home()),
        passphrase: Some(attestry_outbound::Secret::Plain("sword fish \"ä".to_owned())),
        ..Default::default()
    };
    attestry_openpgp::Gpg::new(&config).clear_sign(&key, "text").unwrap();
    let seen = std::fs::read_to_string(&seen).unwrap();
    assert!(seen.contains("--passphrase-fd") && !seen.contains("sword"), "{seen}");
}

#[test]
fn a_half_read_input_is_not_signed() {
    struct Breaks(Made);
    impl Read for Breaks {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.read(into)? {
                0 => Err(io::Error::other("the disk broke")),
                read => Ok(read),
            }
        }
    }
    let me = GnuPg::new();
    let signer: Fingerprint = me.key("Me <me@example.org>").parse().unwrap();
    let how = Protection { sign_with: Some(&signer), encrypt_to: &[], form: Form::Binary };
    let error = gpg(&me).protect(&how, &mut Breaks(Made(1_000_000)), &mut Vec::new()).unwrap_err();
    assert!(matches!(error, GpgError::Data { what: "reading what gpg is to have", .. }), "{error:?}");
    let mut full: &mut [u8] = &mut [0; 10];
    let error = gpg(&me).protect(&how, &mut Made(1_000_000), &mut full).unwrap_err();
    assert!(matches!(error, GpgError::Data { what: "writing what gpg made", .. }), "{error:?}");
}

#[test]
fn keys_that_went_bad_since_they_were_looked_at_are_told() {
    let me = GnuPg::new();
    let signer: Fingerprint = me.key("Me <me@example.org>").parse().unwrap();
    me.revoke(signer.as_str());
    let error = gpg(&me).clear_sign(&signer, "text").unwrap_err();
    assert!(matches!(error, GpgError::Key(KeyProblem::Revoked { .. })), "{error:?}");
    let how = Protection { sign_with: None, encrypt_to: &[signer], form: Form::Binary };
    let error = gpg(&me).protect(&how, &mut Made(10), &mut Vec::new()).unwrap_err();
    assert!(matches!(error, GpgError::Key(KeyProblem::Revoked { .. })), "{error:?}");
}
