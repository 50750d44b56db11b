# A value as YAML that every version of it reads alike: texts in JSON's quotes, numbers with their dot.
let
  text = import ./text.nix;
  inherit (builtins) attrNames concatStringsSep isAttrs isFloat isList match toJSON;

  # Bare where no reader can take it for something else: `on` and `no` are truth values to some.
  key = name:
    if match "[A-Za-z][A-Za-z0-9_]+" name != null
      && match "[Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF|[Tt]rue|TRUE|[Ff]alse|FALSE|[Nn]ull|NULL" name == null
    then name else text.quoted name;

  # With a dot and, if it can be, without an exponent: 1e-05 is a text to YAML 1.1, and 1.0e+06 is no duration.
  number = value:
    let
      size = if value < 0 then -value else value;
      short = builtins.head (match "(.*[^0]|.*\\.0)0*" (toString value));
      parts = match "(-?[0-9]+)(e.*)" (toJSON value);
    in
    if size < 1.0e15 && builtins.floor size == size then toJSON (builtins.floor value)
    else if size >= 0.001 && size < 1.0e15 then short
    else if parts != null then concatStringsSep ".0" parts
    else toJSON value;

  scalar = value: if isFloat value then number value else toJSON value;

  isBlock = value: (isAttrs value || isList value) && value != { } && value != [ ];

  # Without its first indentation, for what stands behind a dash.
  block = indent: value:
    let
      deeper = "${indent}  ";
      under = inner: if isBlock inner then "\n${deeper}${block deeper inner}" else " ${scalar inner}";
      item = inner: if isBlock inner then "- ${block deeper inner}" else "- ${scalar inner}";
    in
    concatStringsSep "\n${indent}" (
      if isList value then map item value
      else map (name: "${key name}:${under value.${name}}") (attrNames value)
    );
in
value: if isBlock value then "${block "" value}\n" else "${scalar value}\n"
