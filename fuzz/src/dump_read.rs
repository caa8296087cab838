//! Dumps of databases: they come from whoever owns the database.

use attestry_db::dump::{DumpAudit, Side};
use attestry_db::{MaskKey, WatchConfig};

/// The memory for sorting, in bytes: so little that a few rows are sorted in parts.
const MEMORY: usize = 256;

/// Compares a dump with itself: there must be no difference, whatever it holds, unless it cannot be read.
///
/// # Panics
/// When there is one.
pub fn run(bytes: &[u8]) {
    // Compressed inputs can be a thousand times larger than they look.
    if bytes.starts_with(&[0x1f, 0x8b])
        || bytes.starts_with(b"BZh")
        || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
    {
        return;
    }
    let Ok(config) = serde_json::from_str::<WatchConfig>(r#"{"url":"mysql://a@b/test"}"#) else { return };
    let folder = std::env::temp_dir();
    let mask = MaskKey([7; 32]);
    for schema in ["test", "public"] {
        let audit = DumpAudit { config: &config, schema, mask: &mask, folder: &folder, memory: MEMORY };
        let side = |name: &str| Side::Dump {
            name: name.to_owned(),
            reader: Box::new(std::io::Cursor::new(bytes.to_vec())),
        };
        let compared = audit.compare(side("before"), side("after"), &mut |_| Ok(()));
        if let Ok(summary) = compared {
            let changes = summary.inserted + summary.updated + summary.deleted;
            assert_eq!(changes, 0, "a dump differs from itself: {summary:?}");
        }
    }
}
