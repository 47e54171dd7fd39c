//! Touches the world for a run: infrastructure code, commands, templates, git
