variable "workspace_name" {
  description = "Passed by Piton: the name of the workspace's directory"
  type        = string
}

variable "deployment_mode" {
  description = "Passed by Piton: the mode whose schedule came up last"
  type        = string
  default     = "busy"

  validation {
    condition     = contains(["hibernation", "busy", "maintenance"], var.deployment_mode)
    error_message = "The mode must be hibernation, busy or maintenance."
  }
}

locals {
  climbers = {
    hibernation = 0
    maintenance = 1
    busy        = 3
  }[var.deployment_mode]
}

resource "terraform_data" "climber" {
  count = local.climbers
  input = "${var.workspace_name}: climber ${count.index + 1}"
}

output "climbers" {
  description = "How many are on the mountain"
  value       = "${length(terraform_data.climber)} in mode ${var.deployment_mode}"
}
