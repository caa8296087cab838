//! Which tables the change stream carries.
//!
//! A table that it never carried is only compared, and what comparing finds there is no change behind the stream. One that it carried before and
//! leaves out now is another matter: somebody may have taken it out to change it unseen, so what is found there stays unexplained.

use std::collections::BTreeMap;

use super::act::table_event;
use super::events::micros;
use super::store::Store;
use super::{Database, Outlet, Trouble, Watch};
use crate::copy::CopyError;
use crate::table::Name;

impl<D: Database, O: Outlet> Watch<D, O> {
    /// Keeps which tables the stream leaves out, each with the reason, and tells what is other than before.
    pub(super) async fn note_streamed(&self, left_out: BTreeMap<Name, String>) -> Result<(), Trouble> {
        self.handle.leave_out(&left_out);
        self.shared.with(move |store| store.note_streamed(&left_out)).await?;
        self.tell().await
    }
}

impl Store {
    fn note_streamed(&mut self, left_out: &BTreeMap<Name, String>) -> Result<(), CopyError> {
        let mut streamed = self.copy.streamed()?.unwrap_or_default();
        let time = micros(self.clock.now());
        self.copy.begin()?;
        for (name, why) in left_out {
            if !self.has(name) || !streamed.left_out.insert(name.clone()) {
                continue;
            }
            let before = streamed.carried.contains(name);
            if !before {
                streamed.only_compared.insert(name.clone());
            }
            let event = table_event(&self.watch, "gap.table", name, time, &[])
                .severity(if before { 3 } else { 5 })
                .message(format!("the change stream does not carry {name}, which is only compared: {why}"))
                .data("watch", &*self.watch)
                .data("reason", why.as_str())
                .data("carried_before", before);
            self.copy.tell(&event)?;
        }
        for name in streamed.left_out.clone() {
            if left_out.contains_key(&name) {
                continue;
            }
            streamed.left_out.remove(&name);
            if self.has(&name) {
                let event = table_event(&self.watch, "gap.table_end", &name, time, &[])
                    .severity(6)
                    .message(format!("the change stream carries {name}"))
                    .data("watch", &*self.watch);
                self.copy.tell(&event)?;
            }
        }
        let carried = self.tables.keys().filter(|name| {
            self.has(name) && !streamed.left_out.contains(*name) && !streamed.only_compared.contains(*name)
        });
        streamed.carried.extend(carried.cloned());
        self.copy.set_streamed(&streamed)?;
        self.copy.commit()?;
        self.streamed = streamed;
        Ok(())
    }

    /// A table was compared whole while the stream carried it: what is found there from now on was done behind it. In a transaction.
    pub(super) fn carries(&mut self, name: &Name) -> Result<(), CopyError> {
        if self.streamed.only_compared.remove(name) {
            self.streamed.carried.insert(name.clone());
            self.copy.set_streamed(&self.streamed)?;
        }
        Ok(())
    }

    /// A table is gone for good; one of its name is another one. In a transaction.
    pub(super) fn forget_streamed(&mut self, name: &Name) -> Result<(), CopyError> {
        if let Some(mut streamed) = self.copy.streamed()? {
            streamed.carried.remove(name);
            streamed.only_compared.remove(name);
            self.copy.set_streamed(&streamed)?;
        }
        Ok(())
    }
}
