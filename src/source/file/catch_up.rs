//! Reading up to where the files end now, without a stop afterwards: what `forebay drain` waits for.

use super::tracked::FileId;
use std::collections::HashMap;

/// What is to be read.
#[derive(Debug)]
pub(crate) struct CatchUp {
    /// Which wish it is.
    pub(crate) number: u64,
    /// Generation and size of the files that are not read to there yet.
    pub(crate) ends: HashMap<FileId, (u32, u64)>,
}
