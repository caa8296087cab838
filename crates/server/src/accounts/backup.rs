//! A copy of the accounts while they are in use.

use std::path::Path;

use super::{Accounts, AccountsError};

impl Accounts {
    /// Writes a consistent copy to `to`, in place of what is there.
    pub fn back_up(&self, to: &Path) -> Result<(), AccountsError> {
        let temporary = to.with_extension("tmp");
        let io = |source| AccountsError::Io { path: temporary.display().to_string(), source };
        if temporary.exists() {
            std::fs::remove_file(&temporary).map_err(io)?;
        }
        let path = temporary.to_string_lossy();
        self.writer.lock().execute("VACUUM INTO ?1", [path.as_ref()])?;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&temporary, private).map_err(io)?;
        std::fs::File::open(&temporary).and_then(|file| file.sync_all()).map_err(io)?;
        std::fs::rename(&temporary, to).map_err(io)
    }
}
