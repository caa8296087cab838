//! Which container a mounted overlay belongs to: by its upper folder, which Docker (`overlay2/LAYER/diff`) and Podman
//! (`overlay/LAYER/diff`) name after the layer, and by what each notes of its containers beside it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::regular;

/// A container's configuration takes some 10 KB; Podman's list of all of them more.
const MAX_NOTE: u64 = 16 << 20;
/// More containers than this are not looked through.
const MAX_CONTAINERS: usize = 10_000;

/// A container, by its id and, where it can be read, its name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: Option<String>,
}

/// The upper folder in the options of an overlay.
pub(super) fn upper(options: &str) -> Option<PathBuf> {
    options.split(',').find_map(|option| option.strip_prefix("upperdir=")).map(super::unescape)
}

/// The container whose layer this is.
pub(super) fn container(upper: &Path) -> Option<Container> {
    let layer_folder = upper.parent()?;
    let layer = layer_folder.file_name()?.to_str()?;
    let driver = layer_folder.parent()?;
    let storage = driver.parent()?;
    docker(storage, driver.file_name()?.to_str()?, layer).or_else(|| podman(storage, layer))
}

/// `image/overlay2/layerdb/mounts/CONTAINER/mount-id` holds the layer, `containers/CONTAINER/config.v2.json` the name.
fn docker(storage: &Path, driver: &str, layer: &str) -> Option<Container> {
    let listed = fs::read_dir(storage.join("image").join(driver).join("layerdb/mounts")).ok()?;
    for entry in listed.flatten().take(MAX_CONTAINERS) {
        let Ok((mounted, _)) = regular::read(&entry.path().join("mount-id"), 1_000) else { continue };
        if mounted.trim_ascii() == layer.as_bytes() {
            let id = entry.file_name().into_string().ok()?;
            let config = storage.join("containers").join(&id).join("config.v2.json");
            let name = json(&config)
                .and_then(|config| Some(config["Name"].as_str()?.trim_start_matches('/').to_owned()));
            return Some(Container { id, name });
        }
    }
    None
}

/// `overlay-containers/containers.json`: a list of containers with `id`, `names` and `layer`.
fn podman(storage: &Path, layer: &str) -> Option<Container> {
    let list = json(&storage.join("overlay-containers/containers.json"))?;
    let found = list.as_array()?.iter().find(|container| container["layer"] == layer)?;
    let name = found["names"][0].as_str().map(str::to_owned);
    Some(Container { id: found["id"].as_str()?.to_owned(), name })
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&regular::read(path, MAX_NOTE).ok()?.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_find_their_container() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("docker/image/overlay2/layerdb/mounts/c0ffee/mount-id", "aaaa");
        write("docker/image/overlay2/layerdb/mounts/decaf/mount-id", "bbbb");
        write("docker/image/overlay2/layerdb/mounts/broken/other", "");
        write("docker/containers/c0ffee/config.v2.json", r#"{"Name":"/web","ID":"c0ffee"}"#);
        write(
            "podman/overlay-containers/containers.json",
            r#"[{"id":"x"},{"id":"beef","names":["db"],"layer":"cccc"}]"#,
        );
        for (upper, id, name) in [
            ("docker/overlay2/aaaa/diff", Some("c0ffee"), Some("web")),
            ("docker/overlay2/bbbb/diff", Some("decaf"), None),
            ("docker/overlay2/dddd/diff", None, None),
            ("podman/overlay/cccc/diff", Some("beef"), Some("db")),
        ] {
            let found = container(&folder.path().join(upper));
            assert_eq!(found.as_ref().map(|found| found.id.as_str()), id, "{upper}");
            assert_eq!(found.and_then(|found| found.name).as_deref(), name, "{upper}");
        }
        assert_eq!(container(Path::new("/")), None);
        assert_eq!(
            upper("rw,lowerdir=/a:/b,upperdir=/c\\040d/diff,workdir=/e"),
            Some(PathBuf::from("/c d/diff"))
        );
    }
}
