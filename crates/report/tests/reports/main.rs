//! Reports over a recorded month: what they say, and that they can be made again.

mod figures;
mod month;
mod pages;
mod replay;
mod world;
