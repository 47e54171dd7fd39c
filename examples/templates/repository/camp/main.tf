resource "terraform_data" "tent" {
  count = var.tents
  input = "${var.workspace_name} tent ${count.index + 1}"
}
