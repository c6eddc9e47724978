variable "name" {
  description = "Prefix of every name in this service, for example `shop-dev`."
  type        = string
}

variable "queues" {
  description = "The service's queues, by name; a message that was received `attempts` times moves to the dead letter queue."
  type = map(object({
    visibility_timeout_seconds = number
    attempts                   = number
  }))
}

variable "message_retention_days" {
  description = "Days that an unread message is kept, dead letters included."
  type        = number
  default     = 4
}

variable "log_retention_days" {
  description = "Days that log lines are kept."
  type        = number
  default     = 14
}

variable "point_in_time_recovery" {
  description = "Whether the orders table can be restored to any second of the last 35 days."
  type        = bool
  default     = false
}

variable "payment_api_key" {
  description = "The key the service presents to its payment provider."
  type        = string
  sensitive   = true
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
