# `terraform_data` is built into OpenTofu and Terraform: nothing is downloaded, nothing leaves this machine.

variable "workspace_name" {
  description = "Passed by Piton: the name of the workspace's directory"
  type        = string
  default     = "everest"
}

resource "terraform_data" "summit" {
  input = {
    name   = var.workspace_name
    metres = 8849
  }
}

output "summit" {
  description = "What stands on the summit register"
  value       = "${terraform_data.summit.output.name}, ${terraform_data.summit.output.metres} m"
}
