//! What this program takes of the host's memory, and gives back.
//!
//! An agent should not be noticed where it runs; a server is there for speed. They are the same program, and differ here.
#![allow(unsafe_code)]

use std::ffi::c_long;
use std::fs;

/// Freed memory goes back to the system after this many milliseconds. The default of a second leaves 80 MB more resident while
/// batches come in; ten milliseconds cost a tenth of the CPU.
const PURGE_DELAY_MS: c_long = 100;
/// `mi_option_purge_delay` of mimalloc.h, which the bindings do not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// To be called before there is any other thread.
pub(crate) fn begin() {
    // SAFETY: sets a number.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MS);
    }
}

/// Memory comes in small pages until [`large_pages`] says otherwise: an agent's is many small pieces, and in pages of 2 MiB they need three times as
/// much. The first allocations, before `main`, would take two of those; what stands in this section is called before them.
// SAFETY: the linker's list of functions without arguments that are called at the start; this one makes a system call and needs nothing.
#[used]
#[unsafe(link_section = ".init_array.00101")]
static SMALL_PAGES: extern "C" fn() = small_pages;

extern "C" fn small_pages() {
    // SAFETY: sets a flag of this process. A kernel without it changes nothing.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

/// Lets the system use large pages, as a server's indexes like them.
pub(crate) fn large_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(false);
}

/// Gives back what this thread has freed, and may need again only much later.
pub(crate) fn rest() {
    // SAFETY: frees what the thread holds in reserve, nothing that anybody uses.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}

/// Takes the program's own code and constants out of this process's memory. What is needed of it is back at once, from the system's cache of the file: some MB
/// instead of all that its start went through.
pub(crate) fn forget_code() {
    let (Ok(maps), Ok(own)) = (fs::read_to_string("/proc/self/maps"), fs::read_link("/proc/self/exe")) else {
        return;
    };
    for (from, to) in unwritten(&maps, &own.to_string_lossy()) {
        // SAFETY: the range is mapped from a file, cannot be written to and never could: dropped pages are read again as they were.
        unsafe {
            libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DONTNEED);
        }
    }
}

/// The ranges of addresses in `/proc/PID/maps` (`proc(5)`) that are a program's file and were never anything else: its code, and the constants at its
/// beginning. Other constants were written to, when the program was put in its place.
fn unwritten<'a>(maps: &'a str, program: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    maps.lines().filter_map(move |line| {
        let (range, rest) = line.split_once(' ')?;
        let is_meant = rest.starts_with("r-xp ") || rest.starts_with("r--p 00000000 ");
        let (from, to) = range.split_once('-').filter(|_| is_meant && rest.ends_with(program))?;
        Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_never_written_to_is_meant() {
        let maps = "\
5618e4297000-5618e4f43000 r--p 00000000 fe:00 10036179                   /usr/bin/attestry
5618e4f43000-5618e764e000 r-xp 00cab000 fe:00 10036179                   /usr/bin/attestry
5618e764e000-5618e7891000 r--p 033b5000 fe:00 10036179                   /usr/bin/attestry
5618e7891000-5618e78a4000 rw-p 035f7000 fe:00 10036179                   /usr/bin/attestry
7f33e6e73000-7f33e6fc9000 r-xp 00026000 fe:00 326279                     /usr/lib/x86_64-linux-gnu/libc.so.6
7ffd0f5f2000-7ffd0f5f4000 r-xp 00000000 00:00 0                          [vdso]
";
        let found: Vec<_> = unwritten(maps, "/usr/bin/attestry").collect();
        assert_eq!(found, [(0x5618_e429_7000, 0x5618_e4f4_3000), (0x5618_e4f4_3000, 0x5618_e764_e000)]);
    }

    #[test]
    fn the_program_goes_on_without_it() {
        forget_code();
        let own = fs::read_link("/proc/self/exe").unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        assert!(unwritten(&maps, own.to_str().unwrap()).count() >= 2, "{maps}");
    }
}
