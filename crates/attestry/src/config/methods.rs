//! Names in `methods` that look like ours and are none.

use attestry_collect::catalogue;

/// What is wrong with a name whose resource is one of Attestry's own but whose verb is not; none for everything else, because other
/// programs' names are theirs.
pub(super) fn unknown(name: &str) -> Option<String> {
    let (resource, verb) = name.rsplit_once('.')?;
    let own = catalogue::CATALOGUE
        .iter()
        .map(|entry| entry.name)
        .filter(|own| own.rsplit_once('.').is_some_and(|(of, _)| of == resource));
    let own: Vec<&str> = own.collect();
    if verb == "all" || own.is_empty() || own.contains(&name) {
        return None;
    }
    let nearest = own.iter().min_by_key(|own| strsim::damerau_levenshtein(own, name))?;
    Some(format!("there is no event {name:?}, the nearest is {nearest:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_known() {
        for (name, known) in [
            ("package.install", true),
            ("package.all", true),
            ("package.instal", false),
            ("order.place", true),
            ("loginSuccessful", true),
        ] {
            assert_eq!(unknown(name).is_none(), known, "{name}: {:?}", unknown(name));
        }
        assert!(unknown("package.instal").unwrap().contains("\"package.install\""));
    }
}
