//! Notes, checkpoints, proofs, keys, pins and tile paths: no text makes their readers panic, and what is read is written the same.

use attestry_tlog::note::Note;
use attestry_tlog::tile::{self, Resource};
use attestry_tlog::{Checkpoint, Pin, TlogProof, VerifierKey};

const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

/// Runs the target over one input.
pub fn run(bytes: &[u8]) {
    let _ = tile::entries(bytes).count();
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let key: VerifierKey = KEY.parse().expect("a key");
    if let Ok(note) = Note::parse(text) {
        assert_eq!(note.to_string(), text);
        let _ = note.open(std::slice::from_ref(&key));
    }
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_string(), text);
    }
    if let Ok(proof) = text.parse::<TlogProof>() {
        assert_eq!(proof.to_string(), text);
        let _ = proof.verify(b"entry", &key);
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
    let _ = text.parse::<Pin>();
    match Resource::parse(text) {
        Ok(Resource::Tile(tile)) => {
            assert_eq!(tile.path(), text);
            let _ = (tile.end_index(), tile.is_in(u64::MAX));
        }
        Ok(Resource::Entries(tile)) => {
            assert_eq!(tile.path(), text);
            let _ = (tile.end_index(), tile.is_in(u64::MAX));
        }
        Err(_) => {}
    }
}
