mod chaos;
mod compressed;
mod content;
mod joining;
mod rig;
mod rotation;
mod threaded;
mod truncation;
