//! What is believed, and what is not.

use attestry_openpgp::{Demand, Fingerprint, OpenError, Trust};
use attestry_testkit::GnuPg;

use crate::gpg;

const TEXT: &str = "SIGNOFF|0123456789abcdef\n";
const BYTES_MAX: u64 = 10_000;

/// What came of a message: its text, or why it is refused.
fn opened(by: &GnuPg, message: &str, signers: &[&str]) -> Result<String, String> {
    let signers: Vec<Fingerprint> = signers.iter().map(|key| key.parse().unwrap()).collect();
    let demand = Demand { signers: &signers, trust: Trust::Ultimate, bytes_max: BYTES_MAX };
    match gpg(by).open(message.as_bytes(), &demand) {
        Ok(opened) => {
            assert!(signers.contains(&opened.signature.signer) && !opened.signature.id.is_empty());
            Ok(String::from_utf8(opened.text).unwrap())
        }
        Err(OpenError::Refused(refusal)) => Err(refusal.to_string()),
        Err(error) => panic!("{error:?}"),
    }
}

#[track_caller]
fn check(by: &GnuPg, message: &str, signers: &[&str], expected: Result<&str, &str>) {
    let found = opened(by, message, signers);
    match (&found, expected) {
        (Ok(text), Ok(expected)) => assert_eq!(text, expected),
        (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
        _ => panic!("found {found:?}, expected {expected:?}"),
    }
}

#[test]
fn only_one_good_signature_of_a_listed_and_trusted_key_is_believed() {
    let (us, boss, other) = (GnuPg::new(), GnuPg::new(), GnuPg::new());
    let key = boss.key("Boss <boss@example.org>");
    us.import(&boss, &key);
    let good = boss.clear_sign(&[&key], &[], TEXT);

    // The trouble of Watchy's users: good, and not trusted.
    check(
        &us,
        &good,
        &[&key],
        Err("the trust level is too low: gpg trusts this key as undefined, expected ultimate"),
    );
    let why = opened(&us, &good, &[&key]).unwrap_err();
    let remedy = format!("echo {key}:6: | gpg --homedir {} --import-ownertrust", us.home().display());
    assert!(why.ends_with(&remedy), "{why}");
    us.trust(&key, 5);
    check(&us, &good, &[&key], Err("trust level is too low"));
    let shell = std::process::Command::new("sh").arg("-c").arg(&remedy).output().unwrap();
    assert!(shell.status.success(), "{shell:?}");
    check(&us, &good, &[&key], Ok(TEXT));

    // Somebody who is trusted, too, but may not.
    let ours = us.key("Us <us@example.org>");
    check(&us, &us.clear_sign(&[&ours], &[], TEXT), &[&key], Err("none of the keys that may"));
    check(&us, &good, &[], Err("none of the keys that may"));
    check(&us, &good, &[&ours, &key], Ok(TEXT));

    // Somebody whom we do not know.
    let stranger = other.key("Boss <boss@example.org>");
    let forged = other.clear_sign(&[&stranger], &[], TEXT);
    check(&us, &forged, &[&key], Err("which the keyring does not have"));

    // Changed, cut, doubled, wrapped.
    let cut = good[..good.len() - 80].to_owned();
    for (message, expected) in [
        (good.replace("0123", "0124"), Err("does not fit the text")),
        (good.replace("SIGNOFF", "signoff"), Err("does not fit the text")),
        (format!("SIGNOFF|ffff\n{good}SIGNOFF|eeee\n"), Ok(TEXT)),
        (format!("{good}{good}"), Err("no whole OpenPGP message")),
        (format!("{good}{forged}"), Err("no whole OpenPGP message")),
        (us.clear_sign(&[&ours], &[], &good), Err("none of the keys that may")),
        (TEXT.to_owned(), Err("no OpenPGP data")),
        (String::new(), Err("no OpenPGP data")),
        ("-----BEGIN PGP SIGNED MESSAGE-----\n\nSIGNOFF|x\n".to_owned(), Err("")),
        (cut, Err("")),
        (good.replace("\n\niH", "\n\niX"), Err("")),
        ("\u{0}".repeat(100_000), Err("")),
    ] {
        check(&us, &message, &[&key], expected);
    }
    // Two good ones on one text.
    us.import(&other, &stranger);
    us.trust(&stranger, 6);
    let secret = other.run(&["--armor", "--export-secret-keys", &stranger], b"").is(0).out;
    boss.run(&["--import"], secret.as_bytes()).is(0);
    let both = boss.clear_sign(&[&key, &stranger], &[], TEXT);
    check(&us, &both, &[&key, &stranger], Err("2 signatures"));
    check(&us, &boss.clear_sign(&[&stranger], &[], TEXT), &[&key, &stranger], Ok(TEXT));
    // A hash that can be forged.
    let weak = boss.clear_sign(&[&key], &["--digest-algo", "SHA1", "--allow-weak-digest-algos"], TEXT);
    check(&us, &weak, &[&key], Err("hash that can be forged"));
    // Signed as a whole, compressed to nearly nothing, too large.
    let large = "x".repeat(1_000_000);
    let packed = boss.run(&["--armor", "--local-user", &key, "--sign"], large.as_bytes()).is(0).out;
    assert!(packed.len() < 10_000, "{}", packed.len());
    check(&us, &packed, &[&key], Err("more than 10000 bytes"));
    let signed = boss.run(&["--armor", "--local-user", &key, "--sign"], TEXT.as_bytes()).is(0).out;
    check(&us, &signed, &[&key], Ok(TEXT));
    let apart = boss.run(&["--armor", "--local-user", &key, "--detach-sign"], TEXT.as_bytes()).is(0).out;
    check(&us, &apart, &[&key], Err(""));
}

#[test]
fn keys_and_signatures_that_are_over_are_not_believed() {
    let (us, boss) = (GnuPg::new(), GnuPg::new());
    let then = "--faked-system-time=20200115T000000";
    let old =
        boss.key_with("Old <old@example.org>", "", &["--faked-system-time=20200101T000000"], "2020-02-01");
    let revoked = boss.key("Revoked <revoked@example.org>");
    let before = boss.clear_sign(&[&revoked], &[], TEXT);
    for fingerprint in [&old, &revoked] {
        us.import(&boss, fingerprint);
        us.trust(fingerprint, 6);
    }
    check(&us, &before, &[&revoked], Ok(TEXT));
    boss.revoke(&revoked);
    us.import(&boss, &revoked);
    check(&us, &before, &[&revoked], Err("is revoked"));
    check(&us, &boss.clear_sign(&[&old], &[then], TEXT), &[&old], Err("has expired"));
    let key_old =
        boss.key_with("Long <long@example.org>", "", &["--faked-system-time=20200101T000000"], "never");
    us.import(&boss, &key_old);
    us.trust(&key_old, 6);
    let short = boss.clear_sign(&[&key_old], &[then, "--default-sig-expire", "1d"], TEXT);
    check(&us, &short, &[&key_old], Err("signature by the key"));
}

#[test]
fn what_is_encrypted_to_us_is_read_if_it_is_signed() {
    let (us, boss) = (GnuPg::new(), GnuPg::new());
    let (ours, key) = (us.key("Us <us@example.org>"), boss.key("Boss <boss@example.org>"));
    us.import(&boss, &key);
    us.trust(&key, 6);
    boss.import(&us, &ours);
    let sealed = |options: &[&str], to: &str| {
        let mut arguments = vec!["--armor", "--trust-model", "always", "--recipient", to];
        arguments.extend(options);
        arguments.push("--encrypt");
        boss.run(&arguments, TEXT.as_bytes()).is(0).out
    };
    check(&us, &sealed(&["--local-user", &key, "--sign"], &ours), &[&key], Ok(TEXT));
    check(&us, &sealed(&[], &ours), &[&key], Err("it is not signed"));
    check(
        &us,
        &sealed(&["--local-user", &key, "--sign"], &key),
        &[&key],
        Err("none of the keys whose secret part is here"),
    );
}

/// A message of a kilobyte that unpacks to so many session keys, for each of which gpg says a line.
fn packed_session_keys(count: usize) -> String {
    const MAKE: &str = "import base64, sys, zlib\n\
        key = b'\\x03' + b'\\x11' * 8 + b'\\x01\\x00\\x01\\x01'\n\
        pack = zlib.compressobj(9, zlib.DEFLATED, -15)\n\
        packed = b'\\x01' + pack.compress((bytes([0xc1, len(key)]) + key) * int(sys.argv[1])) + pack.flush()\n\
        packet = b'\\xc8\\xff' + len(packed).to_bytes(4, 'big') + packed\n\
        print('-----BEGIN PGP MESSAGE-----\\n\\n' + base64.encodebytes(packet).decode() + '-----END PGP MESSAGE-----')";
    let made = std::process::Command::new("python3").args(["-c", MAKE, &count.to_string()]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap()
}

#[test]
fn a_message_that_makes_gpg_talk_without_end_is_refused() {
    let us = GnuPg::new();
    let ours = us.key("Us <us@example.org>");
    let message = packed_session_keys(30_000);
    assert!(message.len() < 2_000, "{}", message.len());
    check(&us, &message, &[&ours], Err("far more packets than a message"));
    check(&us, &packed_session_keys(10), &[&ours], Err("it is not signed"));
}
