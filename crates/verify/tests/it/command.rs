//! The program: arguments, exit codes, what goes where.

use std::path::Path;
use std::process::{Command, Output};

use crate::model::{Model, PINNED, SIGNED, edited};

fn run(arguments: &[&str]) -> (i32, String, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_attestry-verify"))
        .args(arguments)
        .env_remove("ATTESTRY_KEY")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn exit_codes_and_output() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad, pin) = (dir.path().join("good"), dir.path().join("bad"), dir.path().join("audit.pin"));
    let mut model = Model::sample();
    model.write(&good);
    std::fs::write(&pin, model.pin(PINNED).to_string()).unwrap();
    model.set(300, edited(300));
    model.sign(SIGNED);
    model.recompute();
    model.write(&bad);

    let (code, out, error) = run(&[text(&good), "--pin", text(&pin)]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(out.ends_with("Clean: everything that was checked is as it was signed.\n"), "{out}");
    assert!(
        !out.contains('\u{1b}') && !out.contains('\r'),
        "no control characters in what is not a terminal"
    );

    let (code, out, _) = run(&[text(&bad), "--pin", text(&pin), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["exit"].as_i64()), (1, Some(1)));
    assert_eq!(json["ledgers"][0]["damage"][0]["kind"], "diverged");
    assert_eq!(json["ledgers"][0]["pins"][0]["holds"], false);

    let missing = dir.path().join("missing");
    let nothing = dir.path().join("nothing");
    std::fs::write(&nothing, "nothing that is known").unwrap();
    for arguments in [
        &[text(&missing)][..],
        &[text(&nothing)],
        &[text(dir.path())],
        &[text(&good), "--pin", text(&nothing)],
        &[text(&good), "--pin", text(&missing)],
        &[text(&good), "--pin"],
        &[text(&good), "--vkey", "x"],
        &[text(&good), text(&bad)],
        &[text(&good), "--unknown"],
        &["http://127.0.0.1:1/log/audit"],
        &[],
    ] {
        let (code, out, error) = run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(error.starts_with("attestry-verify: ") && error.trim_end().lines().count() == 1, "{error}");
    }
    let (code, out, _) = run(&["--help"]);
    assert!(code == 0 && out.contains("Exit code: 0 clean, 1 damage, 2 could not check"));
    assert_eq!(run(&["--version"]).0, 0);
}
