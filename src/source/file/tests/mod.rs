mod rig;
mod rotation;
