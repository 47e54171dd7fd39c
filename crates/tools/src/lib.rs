//! Chooses, downloads and verifies OpenTofu and Terraform
