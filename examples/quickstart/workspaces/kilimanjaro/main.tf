variable "workspace_name" {
  description = "Passed by Piton: the name of the workspace's directory"
  type        = string
  default     = "kilimanjaro"
}

resource "terraform_data" "camp" {
  for_each = toset(["machame", "shira", "barranco"])

  input = "${var.workspace_name}/${each.key}"

  provisioner "local-exec" {
    command = "sleep 1; echo 'pitched the tents of ${self.input}'"
  }

  provisioner "local-exec" {
    when    = destroy
    command = "sleep 1; echo 'packed the tents of ${self.input}'"
  }
}

output "camps" {
  description = "Where the tents stand"
  value       = [for camp in terraform_data.camp : camp.output]
}
