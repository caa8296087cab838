//! Builds the server anew when the web page was built anew: its files become part of the program.

fn main() {
    println!("cargo:rerun-if-changed=../../ui/dist");
}
