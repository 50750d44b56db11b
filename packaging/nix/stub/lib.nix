# As much of nixpkgs' lib as our Nix code uses: a small module system with the same words for the same mistakes.
#
# What it leaves out: an option is declared once (types are not merged), values do not remember their files, there is
# no order among definitions, and the types are those below.
let
  inherit (builtins) all any attrNames concatLists concatStringsSep elem elemAt filter foldl' genList head isAttrs
    isBool isFloat isFunction isInt isList isString length listToAttrs mapAttrs typeOf;

  tagged = tag: value: isAttrs value && value._type or "" == tag;
  named = loc: "`${concatStringsSep "." loc}'";

  genAttrs = names: make: listToAttrs (map (name: { inherit name; value = make name; }) names);
  unique = foldl' (seen: one: if elem one seen then seen else seen ++ [ one ]) [ ];
  # What each of the sets has under this name.
  under = name: sets: map (set: set.${name}) (filter (set: set ? ${name}) sets);
  namesOf = sets: unique (concatLists (map attrNames sets));

  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkMerge = contents: { _type = "merge"; inherit contents; };
  mkOverride = priority: content: { _type = "override"; inherit priority content; };
  mkOption = option: { _type = "option"; } // option;

  # Conditions go down to the members, so that which options are set never hangs on the value of one.
  pushed = value:
    if tagged "if" value then map (mapAttrs (_: mkIf value.condition)) (pushed value.content)
    else if tagged "merge" value then concatLists (map pushed value.contents)
    else if tagged "override" value then map (mapAttrs (_: mkOverride value.priority)) (pushed value.content)
    else [ value ];

  # What is left of a definition when its conditions are looked at: [ { priority, value } ].
  discharged = value:
    if tagged "if" value then if value.condition then discharged value.content else [ ]
    else if tagged "merge" value then concatLists (map discharged value.contents)
    else if tagged "override" value then map (one: one // { inherit (value) priority; }) (discharged value.content)
    else [ { priority = 100; inherit value; } ];

  strongest = definitions:
    let
      found = concatLists (map discharged definitions);
      least = foldl' (low: one: if one.priority < low then one.priority else low) 10000 found;
    in
    map (one: one.value) (filter (one: one.priority == least) found);

  shown = value:
    if isString value || isInt value || isFloat value || isBool value || value == null
    then builtins.toJSON value else "<${typeOf value}>";

  merged = type: loc: definitions:
    let
      found = strongest definitions;
      wrong = filter (value: !(type.check value)) found;
    in
    if wrong == [ ] then type.merge loc found
    else throw "A definition for option ${named loc} is not of type `${type.description}'. Definition value: ${shown (head wrong)}";

  mergeEqualOption = loc: found:
    if all (one: one == head found) found then head found
    else throw "The option ${named loc} has conflicting definition values";

  mkOptionType = { name, description ? name, check ? (_: true), merge ? mergeEqualOption, ... }:
    { _type = "option-type"; inherit name description check merge; };

  plain = name: description: check: mkOptionType { inherit name description check; };

  types = rec {
    str = plain "str" "string" isString;
    bool = plain "bool" "boolean" isBool;
    port = plain "port" "16 bit unsigned integer; between 0 and 65535 (both inclusive)"
      (value: isInt value && value >= 0 && value <= 65535);
    path = plain "path" "path"
      (value: typeOf value == "path" || isString value && builtins.substring 0 1 value == "/");
    package = plain "package" "package" (value: isAttrs value && value.type or "" == "derivation");
    lines = plain "lines" "strings concatenated with \"\\n\"" isString // { merge = _: concatStringsSep "\n"; };
    raw = plain "raw" "raw value" (_: true);
    anything = plain "anything" "anything" (_: true) // {
      merge = loc: found:
        if all isAttrs found && !(any package.check found) then (attrsOf anything).merge loc found
        else if all isList found then concatLists found
        else mergeEqualOption loc found;
    };
    functionTo = result: plain "functionTo" "function that evaluates to a(n) ${result.description}" isFunction // {
      merge = loc: found: argument: merged result loc (map (one: one argument) found);
    };
    enum = values:
      plain "enum" "one of ${concatStringsSep ", " (map builtins.toJSON values)}" (value: elem value values);
    nullOr = type: plain "nullOr" "null or ${type.description}" (value: value == null || type.check value) // {
      merge = loc: found: if all (one: one == null) found then null else merged type loc found;
    };
    listOf = type: plain "listOf" "list of ${type.description}" isList // {
      merge = loc: found:
        let items = concatLists found; in
        genList (at: merged type (loc ++ [ "[${toString at}]" ]) [ (elemAt items at) ]) (length items);
    };
    attrsOf = type: plain "attrsOf" "attribute set of ${type.description}" isAttrs // {
      merge = loc: found:
        let
          sets = concatLists (map pushed found);
          given = filter (name: strongest (under name sets) != [ ]) (namesOf sets);
        in
        genAttrs given (name: merged type (loc ++ [ name ]) (under name sets));
    };
    submodule = module: plain "submodule" "submodule" (value: isAttrs value || isFunction value) // {
      merge = loc: found: (evalModules {
        # A bare set is all configuration, whatever its keys are called.
        modules = [ module ] ++ map (one: if isFunction one then one else { config = one; }) found;
        prefix = loc;
      }).config;
    };
  };

  # A module, and what it imports, as { imports, options, config, free }.
  loaded = arguments: module:
    let
      written = if typeOf module == "path" || isString module then import module else module;
      set = if isFunction written then written arguments else written;
      whole = set ? config || set ? options;
      imports = set.imports or [ ];
    in
    [ {
      options = set.options or { };
      config = if whole then set.config or { } else removeAttrs set [ "imports" "freeformType" "_file" "key" ];
      free = set.freeformType or null;
    } ] ++ concatLists (map (loaded arguments) imports);

  joined = loc: left: right: left // mapAttrs
    (name: value:
      if !(left ? ${name}) then value
      else if tagged "option" value || tagged "option" left.${name}
      then throw "The option ${named (loc ++ [ name ])} is already declared"
      else joined (loc ++ [ name ]) left.${name} value)
    right;

  evalModules = { modules, specialArgs ? { }, prefix ? [ ] }:
    let
      found = concatLists (map (loaded (specialArgs // { inherit config lib options; })) modules);
      options = foldl' (joined prefix) { } (map (one: one.options) found);
      free = filter (type: type != null) (map (one: one.free) found);

      valueOf = loc: option: definitions:
        let
          defaults = if option ? default then [ (mkOverride 1500 option.default) ] else [ ];
          given = definitions ++ defaults;
        in
        if strongest given == [ ]
        then throw "The option ${named loc} was accessed but has no value defined. Try setting the option."
        else (option.apply or (value: value)) (merged option.type loc given);

      # The tree of options filled with definitions; what no option takes is refused, unless the module is free.
      filled = loc: tree: sets:
        let
          unknown = filter (name: !(tree ? ${name})) (namesOf sets);
          value = name: option:
            if tagged "option" option then valueOf (loc ++ [ name ]) option (under name sets)
            else filled (loc ++ [ name ]) option (concatLists (map pushed (under name sets)));
          rest = map (set: removeAttrs set (attrNames tree)) sets;
        in
        if unknown == [ ] then mapAttrs value tree
        else if free != [ ] && loc == prefix then (head free).merge loc rest // mapAttrs value tree
        else throw "The option ${named (loc ++ [ (head unknown) ])} does not exist.";

      config = filled prefix options (concatLists (map (one: pushed one.config) found));
    in
    { inherit config options; };

  lib = {
    inherit evalModules genAttrs mergeEqualOption mkIf mkMerge mkOption mkOptionType mkOverride types unique;
    inherit (builtins) attrNames concatStringsSep;
    mkDefault = mkOverride 1000;
    mkForce = mkOverride 50;
    mkEnableOption = what: mkOption { type = types.bool; default = false; description = "Whether to enable ${what}."; };
    literalExpression = text: { _type = "literalExpression"; inherit text; };
    optional = condition: one: if condition then [ one ] else [ ];
    optionals = condition: some: if condition then some else [ ];
    optionalString = condition: text: if condition then text else "";
    optionalAttrs = condition: set: if condition then set else { };
    getExe = package: "${package}/bin/${package.meta.mainProgram or package.pname}";
    licenses.asl20 = { spdxId = "Apache-2.0"; };
    cleanSourceWith = { src, filter, name }: builtins.path { path = src; inherit filter name; };
  };
in
lib
