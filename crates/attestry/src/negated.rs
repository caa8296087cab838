//! `-username:root` on the command line: a term that is excluded, not an option.
//!
//! The search language writes a negation with a dash, and so do the pages and the help; shells hand it over as it is, and an
//! option parser would take its first letter for an option. The same term with `NOT` means the same.

use std::ffi::OsString;

/// The commands whose arguments are a query.
const SEARCHES: [&str; 6] = ["search", "count", "top", "histogram", "tail", "export"];

/// The arguments, the program's name first, with excluded terms spelled so that they are no options.
pub(crate) fn respelled(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    let is_search = arguments.get(1).is_some_and(|command| SEARCHES.iter().any(|name| command == name));
    if is_search {
        for argument in arguments.iter_mut().skip(2).take_while(|argument| *argument != "--") {
            if let Some(term) = argument.to_str().and_then(excluded) {
                *argument = format!("NOT {term}").into();
            }
        }
    }
    arguments
}

/// The term of `-field:value`; none for anything else, options with their value glued on included.
fn excluded(argument: &str) -> Option<&str> {
    let term = argument.strip_prefix('-')?;
    let (field, _) = term.split_once(':')?;
    let fits = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    (!field.is_empty() && field.chars().all(fits)).then_some(term)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_told_from_options() {
        for (written, read) in [
            ("search -username:root", "search|NOT username:root"),
            ("search a -host:web1 -n 5", "search|a|NOT host:web1|-n|5"),
            ("top outcome -event_data.a.b:>=5", "top|outcome|NOT event_data.a.b:>=5"),
            ("count --from -24h -outcome:*", "count|--from|-24h|NOT outcome:*"),
            ("count -n5 --url http://a:1 -c/a:b", "count|-n5|--url|http://a:1|-c/a:b"),
            ("search -- -username:root", "search|--|-username:root"),
            ("send -username:root", "send|-username:root"),
        ] {
            let arguments = ["attestry"].into_iter().chain(written.split(' ')).map(OsString::from);
            let read: Vec<&str> = ["attestry"].into_iter().chain(read.split('|')).collect();
            assert_eq!(respelled(arguments), read, "{written}");
        }
    }
}
