//! The binding: borrow, detach from the GIL, call, convert, map errors. No arithmetic.
