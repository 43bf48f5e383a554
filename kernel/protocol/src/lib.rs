//! The words that kernel and launcher speak.
#![no_std]
