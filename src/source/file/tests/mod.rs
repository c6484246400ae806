mod again;
mod chaos;
mod content;
mod joining;
mod rig;
mod rotation;
mod threaded;
mod truncation;
