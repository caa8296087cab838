mod behind;
mod bench;
mod changes;
mod checks;
mod crashes;
mod schema;
mod world;
