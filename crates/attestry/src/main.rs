//! attestry
fn main() {}
