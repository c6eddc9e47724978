provider "aws" {
  region = var.region
}

locals {
  name = "shop-prod"

  tags = {
    environment = "prod"
    owner       = "team-shop"
    managed-by  = "terraform"
  }
}

module "network" {
  source = "../../modules/network"

  name               = local.name
  cidr_block         = "10.30.0.0/16"
  availability_zones = ["${var.region}a", "${var.region}b", "${var.region}c"]
  tags               = local.tags

  ingress = {
    https = { port = 443, cidr_blocks = ["10.0.0.0/8", "192.168.0.0/16"] }
  }
}

module "service" {
  source = "../../modules/service"

  name            = local.name
  payment_api_key = var.payment_api_key
  tags            = local.tags

  message_retention_days = 14
  log_retention_days     = 365
  point_in_time_recovery = true

  queues = {
    orders   = { visibility_timeout_seconds = 120, attempts = 10 }
    mails    = { visibility_timeout_seconds = 60, attempts = 5 }
    invoices = { visibility_timeout_seconds = 300, attempts = 10 }
  }
}
