//! Memory that only the boot needed, given back.
//!
//! Reading a configuration, checking directories and starting services runs through most of the program once; then it
//! waits for months in a small loop. Nothing here is needed for correctness, so nothing here fails.
#![expect(unsafe_code, reason = "madvise(2) on the program's own segments, and malloc_trim(3)")]

use std::ffi::{c_int, c_void};

/// Lets the kernel have the pages of code and constants that are mapped by now, and what the allocator keeps for later.
/// What is needed again comes back from the page cache, 64 kB at a touch, or from the file.
pub fn give_back() {
    // SAFETY: `advise` is called for each object while none can be unloaded: init loads none after its start.
    unsafe { libc::dl_iterate_phdr(Some(advise), std::ptr::null_mut()) };
    #[cfg(target_env = "musl")]
    super::allocator::give_back();
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number; free memory alone is given back.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Advises on one object's read-only segments.
unsafe extern "C" fn advise(info: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: dl_iterate_phdr(3) hands over a valid structure, and an array of program headers of the length it says.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    let page = page() as u64;
    for header in
        headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0)
    {
        // All pages that it is in. None is another segment's too: those differ in what may be done with them.
        let start = base.saturating_add(header.p_vaddr) & !page.saturating_sub(1);
        let end = base.saturating_add(header.p_vaddr).saturating_add(header.p_memsz).next_multiple_of(page);
        if let Ok(length @ 1..) = usize::try_from(end.saturating_sub(start)) {
            // SAFETY: the pages are private, backed by the file (the vDSO's by the kernel) and never written, so that
            // dropping them changes nothing that can be read. A refusal is as good.
            unsafe { libc::madvise(start as *mut c_void, length, libc::MADV_DONTNEED) };
        }
    }
    0
}

/// The kernel's, in bytes: arm64 has up to 64 kB.
pub(super) fn page() -> usize {
    // SAFETY: takes a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(64 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_back_is_as_it_was() {
        static TABLE: [u64; 4096] = [7; 4096];
        let text = "héllo".repeat(1000);
        give_back();
        assert_eq!(TABLE.iter().sum::<u64>(), 7 * 4096);
        assert_eq!(text, "héllo".repeat(1000));
    }
}
