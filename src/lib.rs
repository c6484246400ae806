//! Forebay: tails logs into an embedded, durable, partitioned queue, and ships
//! every line from there to any number of sinks, exactly once.
//!
//! The modules follow the way of the data: [`source`] → [`queue`] → [`process`]
//! → [`sink`]. Around them: [`config`] reads YAML pipelines, [`agent`] wires and
//! supervises, [`admin`] tells how it stands, [`audit`] accounts for every byte, [`cli`] is what a person types.
#![forbid(unsafe_code)]

pub mod admin;
pub mod agent;
pub mod audit;
pub mod cli;
pub mod config;
#[cfg(test)]
mod corpus;
pub mod demo;
pub mod process;
pub mod queue;
pub mod sink;
pub mod source;
