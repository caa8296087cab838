//! Which key is meant, and what is wrong with it.

use attestry_openpgp::{GpgError, KeyUse};
use attestry_testkit::GnuPg;

use crate::gpg;

/// What is said of a key, without the folders that differ from test to test.
fn problem(of: &GnuPg, wanted: &str, purpose: KeyUse) -> String {
    match gpg(of).key(wanted, purpose) {
        Ok(key) => format!("ok {}", key.fingerprint),
        Err(GpgError::Key(problem)) => {
            problem.to_string().replace(&format!("gpg --homedir {}", of.home().display()), "GPG")
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn a_key_is_found_by_fingerprint_id_and_mail_alone() {
    let me = GnuPg::new();
    let alice = me.key("Alice <alice@example.org>");
    let malice = me.key("Malice <malice@example.org>");
    let id = &alice[24..];
    let grouped: Vec<&str> = (0..10).map(|at| &alice[at * 4..at * 4 + 4]).collect();
    for wanted in [
        alice.as_str(),
        &alice.to_lowercase(),
        &format!("0x{id}"),
        id,
        &grouped.join(" "),
        "alice@example.org",
        "<Alice@Example.org>",
    ] {
        assert_eq!(problem(&me, wanted, KeyUse::Sign), format!("ok {alice}"), "{wanted}");
    }
    // What fits in the middle of another address or name is not meant; ids of 8 digits are anybody's; options are none.
    for wanted in [
        "lice@example.org",
        "example.org",
        "Alice",
        &alice[32..],
        "",
        "--version",
        "=Alice <alice@example.org>",
    ] {
        let said = problem(&me, wanted, KeyUse::Sign);
        assert!(!said.starts_with("ok"), "{wanted}: {said}");
    }
    let again = me.key_with("Alice again <alice@example.org>", "", &[], "never");
    let said = problem(&me, "alice@example.org", KeyUse::Sign);
    assert!(
        said.starts_with("\"alice@example.org\" is the name of 2 keys; give the fingerprint of one: "),
        "{said}"
    );
    assert!(said.contains(&alice) && said.contains(&again) && !said.contains(&malice), "{said}");
}

#[test]
fn each_problem_says_what_mends_it() {
    let (me, other) = (GnuPg::new(), GnuPg::new());
    let old =
        me.key_with("Old <old@example.org>", "", &["--faked-system-time=20200101T000000"], "2020-02-01");
    let revoked = me.key("Revoked <revoked@example.org>");
    me.revoke(&revoked);
    let stranger = other.key("Stranger <stranger@example.org>");
    me.import(&other, &stranger);
    let signs_only = me.run(
        &[
            "--passphrase",
            "",
            "--quick-generate-key",
            "Signs <signs@example.org>",
            "ed25519",
            "sign",
            "never",
        ],
        b"",
    );
    signs_only.is(0);
    let told = |name: &str, fingerprint: &str| {
        format!("the key {fingerprint} ({name} <{}@example.org>)", name.to_lowercase())
    };
    for (wanted, purpose, expected) in [
        (
            "nobody@example.org",
            KeyUse::Sign,
            "the keyring has no key \"nobody@example.org\"; get it from its owner, compare the fingerprint, and: GPG --import KEY.asc"
                .to_owned(),
        ),
        (
            "Alice",
            KeyUse::Sign,
            "found \"Alice\", expected a key's fingerprint, its id of 16 digits or its owner's mail address; the keys are listed by: GPG --list-keys"
                .to_owned(),
        ),
        (
            "old@example.org",
            KeyUse::Encrypt,
            format!("{} has expired; make it last longer: GPG --quick-set-expire {old} 1y", told("Old", &old)),
        ),
        (
            "revoked@example.org",
            KeyUse::Sign,
            format!(
                "{} is revoked; that is for ever: name another key, or make one: GPG --quick-generate-key 'Revoked <revoked@example.org>'",
                told("Revoked", &revoked)
            ),
        ),
        (
            "stranger@example.org",
            KeyUse::Sign,
            format!(
                "the secret part of {} is not here; where it is: gpg --export-secret-keys {stranger} > KEY.gpg, and here: GPG --import KEY.gpg",
                told("Stranger", &stranger)
            ),
        ),
        (
            "stranger@example.org",
            KeyUse::Encrypt,
            format!(
                "nobody has said that {} is its owner's (validity unknown); compare the fingerprint with its owner, and certify it: GPG --quick-lsign-key {stranger}, or when it is your own: echo {stranger}:6: | GPG --import-ownertrust",
                told("Stranger", &stranger)
            ),
        ),
        (
            "stranger@example.org",
            KeyUse::Believe,
            format!(
                "the trust level of {} is too low: found unknown, expected ultimate; compare the fingerprint with its owner, and: echo {stranger}:6: | GPG --import-ownertrust",
                told("Stranger", &stranger)
            ),
        ),
    ] {
        assert_eq!(problem(&me, wanted, purpose), expected, "{wanted}");
    }
    let said = problem(&me, "signs@example.org", KeyUse::Encrypt);
    assert!(said.starts_with("no part of the key") && said.contains("cv25519 encr"), "{said}");

    // The commands do mend it.
    me.run(&["--passphrase", "", "--quick-set-expire", &old, "1y"], b"").is(0);
    me.trust(&stranger, 6);
    assert_eq!(problem(&me, "old@example.org", KeyUse::Sign), format!("ok {old}"));
    for purpose in [KeyUse::Encrypt, KeyUse::Believe] {
        assert_eq!(problem(&me, "stranger@example.org", purpose), format!("ok {stranger}"));
    }
}

#[test]
fn a_certified_key_is_not_its_other_names() {
    let (me, other) = (GnuPg::new(), GnuPg::new());
    me.key("Me <me@example.org>");
    let mallory = other.key("Mallory <mallory@example.org>");
    me.import(&other, &mallory);
    me.run(&["--quick-lsign-key", &mallory], b"").is(0);
    assert_eq!(problem(&me, "mallory@example.org", KeyUse::Encrypt), format!("ok {mallory}"));
    // Later somebody adds a name that is not theirs.
    other.run(&["--quick-add-uid", &mallory, "Alice <alice@example.org>"], b"").is(0);
    me.import(&other, &mallory);
    let said = problem(&me, "alice@example.org", KeyUse::Encrypt);
    assert!(said.starts_with("nobody has said that the key"), "{said}");
    assert_eq!(problem(&me, "mallory@example.org", KeyUse::Encrypt), format!("ok {mallory}"));
}
