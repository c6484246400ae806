//! `forebay demo`: half a minute that convinces.

pub mod account;
mod http;
pub mod receiver;
