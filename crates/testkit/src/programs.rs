//! Where the programs are.

use std::path::{Path, PathBuf};

/// The programs under test.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The product.
    pub attestry: PathBuf,
    /// The small verifier.
    pub verifier: PathBuf,
    /// The verifier that shares nothing with the others, a Python script.
    pub script: PathBuf,
}

impl Programs {
    /// The programs that lie beside `attestry`, which a test of its package gets from `env!("CARGO_BIN_EXE_attestry")`.
    ///
    /// # Panics
    /// When one of them is missing.
    #[track_caller]
    pub fn beside(attestry: &str) -> Programs {
        let attestry = PathBuf::from(attestry);
        let programs = Programs {
            verifier: attestry.with_file_name("attestry-verify"),
            script: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/verify.py"),
            attestry,
        };
        for program in [&programs.attestry, &programs.verifier] {
            assert!(
                program.exists(),
                "{} is missing: `cargo test --workspace` builds it, as `make test` does",
                program.display()
            );
        }
        assert!(programs.script.exists(), "{} is missing from the sources", programs.script.display());
        programs
    }
}
