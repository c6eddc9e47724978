resource "aws_vpc" "this" {
  cidr_block = var.cidr_block

  tags = merge(var.tags, { Name = var.name })
}

resource "aws_subnet" "private" {
  for_each = { for index, zone in var.availability_zones : zone => index }

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.cidr_block, 8, each.value)

  tags = merge(var.tags, { Name = "${var.name}-private-${each.key}" })
}

# The rules stand inline on purpose: Terraform then owns the whole list, and a rule that somebody adds by hand is drift.
resource "aws_security_group" "service" {
  name        = "${var.name}-service"
  description = "Traffic of the ${var.name} service"
  vpc_id      = aws_vpc.this.id

  dynamic "ingress" {
    for_each = var.ingress

    content {
      description = ingress.key
      protocol    = "tcp"
      from_port   = ingress.value.port
      to_port     = ingress.value.port
      cidr_blocks = ingress.value.cidr_blocks
    }
  }

  egress {
    description = "anywhere"
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }

  tags = merge(var.tags, { Name = "${var.name}-service" })
}
