//! Counts, sums, least and greatest values by group, from the entries themselves: exact, whatever the index looks like.

use std::collections::HashMap;

use attestry_store::Order;

use crate::body::{Content, Part, Table};
use crate::cells::{heading, values};
use crate::decimal::Exact;
use crate::definition::Sums;
use crate::make::Maker;
use crate::{Error, Section};

/// The most groups that are told apart.
const GROUPS_MAX: usize = 100_000;

#[derive(Default)]
struct Group {
    events: u64,
    /// One for each field that is added up.
    numbers: Vec<Numbers>,
}

#[derive(Clone, Default)]
struct Numbers {
    sum: Exact,
    least: Option<Exact>,
    greatest: Option<Exact>,
}

pub(super) fn write(maker: &Maker<'_>, section: &Section, sums: &Sums, part: &mut Part) -> Result<(), Error> {
    let scope = maker.scope(section, &sums.query, part)?;
    let mut groups: HashMap<Vec<String>, Group> = HashMap::new();
    let mut not_numbers = 0_u64;
    maker.each(&scope, Order::OldestFirst, |_, entry| {
        let numbers: Vec<Vec<Exact>> = sums
            .of
            .iter()
            .map(|of| {
                let (numbers, others): (Vec<_>, Vec<_>) =
                    values(entry, of).iter().map(|text| Exact::parse(text)).partition(Option::is_some);
                not_numbers += others.len() as u64;
                numbers.into_iter().flatten().collect()
            })
            .collect();
        let mut keys: Vec<Vec<String>> = vec![Vec::new()];
        for by in &sums.by {
            let mut found = values(entry, by);
            if found.is_empty() {
                found.push(String::new());
            }
            let longer = |key: &Vec<String>, value: &String| {
                let mut key = key.clone();
                key.push(value.clone());
                key
            };
            keys = keys.iter().flat_map(|key| found.iter().map(move |value| longer(key, value))).collect();
        }
        for key in keys {
            if groups.len() >= GROUPS_MAX && !groups.contains_key(&key) {
                let what = format!("there are more than {GROUPS_MAX} groups: narrow the query or the window");
                return Err(Error::refused(what));
            }
            let group = groups.entry(key).or_default();
            group.events += 1;
            group.numbers.resize(sums.of.len(), Numbers::default());
            for (all, new) in group.numbers.iter_mut().zip(&numbers) {
                new.iter().try_for_each(|number| all.add(*number))?;
            }
        }
        Ok(true)
    })?;
    if not_numbers > 0 {
        part.notes
            .push(format!("{not_numbers} values are no numbers of up to 38 digits and were not added up."));
    }
    part.content.push(Content::Table(table(sums, groups)));
    Ok(())
}

impl Numbers {
    fn add(&mut self, number: Exact) -> Result<(), Error> {
        self.sum = self.sum.add(number).ok_or_else(|| Error::refused("a sum has more than 38 digits"))?;
        self.least = Some(self.least.map_or(number, |least| least.min(number)));
        self.greatest = Some(self.greatest.map_or(number, |greatest| greatest.max(number)));
        Ok(())
    }
}

fn table(sums: &Sums, groups: HashMap<Vec<String>, Group>) -> Table {
    let mut names: Vec<String> = sums.by.iter().map(|name| heading(name).to_owned()).collect();
    names.push("#events".to_owned());
    for of in &sums.of {
        names.extend(["sum", "least", "greatest"].map(|what| format!("#{what} of {}", heading(of))));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut table = Table::new(&names);
    let mut rows: Vec<(Vec<String>, Group)> = groups.into_iter().collect();
    rows.sort_unstable_by(|one, other| other.1.events.cmp(&one.1.events).then_with(|| one.0.cmp(&other.0)));
    table.left_out = rows.len().saturating_sub(sums.limit) as u64;
    rows.truncate(sums.limit);
    for (key, group) in rows {
        let text = |number: Option<Exact>| number.map_or_else(String::new, |number| number.to_string());
        let numbers = group.numbers.iter().flat_map(|of| [of.least.map(|_| of.sum), of.least, of.greatest]);
        let cells: Vec<String> = numbers.map(text).collect();
        table.row(key.into_iter().chain([group.events.to_string()]).chain(cells), None);
    }
    table
}
