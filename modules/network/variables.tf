variable "name" {
  description = "Prefix of every name in this network, for example `shop-dev`."
  type        = string
}

variable "cidr_block" {
  description = "Address range of the VPC; each subnet takes a /24 of it, so it has to be a /16."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr_block, 0)) && endswith(var.cidr_block, "/16")
    error_message = "The address range has to be a /16, for example 10.20.0.0/16."
  }
}

variable "availability_zones" {
  description = "Zones that get one private subnet each."
  type        = list(string)
}

variable "ingress" {
  description = "What may reach the service, by purpose: a TCP port and the address ranges it is open to."
  type = map(object({
    port        = number
    cidr_blocks = list(string)
  }))
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
