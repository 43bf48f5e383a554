//! Page tables, shootdown, the page fault hook.
