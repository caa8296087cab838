mod behind;
mod bench;
mod changes;
mod crashes;
mod schema;
mod world;
