//! A zoned buddy page-frame allocator.
#![no_std]
