-- splice(old, new): where two texts differ, as position (bytes before it), removed, added.
-- Every edit is kept as one splice, so that the history can be replayed both ways.
-- Halving instead of stepping: each round compares one piece of memory, in all about the length of the text.
local function shared(a, b, most, piece)
  local low, high = 0, most
  while low < high do
    local middle = math.floor((low + high + 1) / 2)
    if piece(a, low, middle) == piece(b, low, middle) then low = middle else high = middle - 1 end
  end
  return low
end

local function from_start(text, low, high) return string.sub(text, low + 1, high) end
local function from_end(text, low, high) return string.sub(text, #text - high + 1, #text - low) end

local function inside(text, position)
  local byte = string.byte(text, position)
  return byte and byte >= 128 and byte < 192
end

local function splice(old, new)
  local most = math.min(#old, #new)
  local head = shared(old, new, most, from_start)
  while head > 0 and (inside(old, head + 1) or inside(new, head + 1)) do head = head - 1 end
  local tail = shared(old, new, most - head, from_end)
  while tail > 0 and inside(old, #old - tail + 1) do tail = tail - 1 end
  return head, string.sub(old, head + 1, #old - tail), string.sub(new, head + 1, #new - tail)
end
