//! Settings: what was said (file, environment, flags) becomes what is meant (each part's own `Config`).
